"""The files of a programme, as bytes by path, into checked definitions.

Pure: the same files give the same programme or the same problems, wherever they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from shared.programme.checking import check_programme
from shared.programme.definition_files import (
    TemplateFiles,
    TextFile,
    read_areas,
    read_campaign,
    read_segment,
    read_send,
    read_template,
)
from shared.programme.definitions import Definition
from shared.programme.encoding import text_of
from shared.programme.findings import Key, key_of
from shared.programme.layout import TEMPLATE_FILES, Layout, lay_out, parts_missing
from shared.programme.problems import FileProblems, Problem, ProgrammeErrors, in_order
from shared.programme.programme import ORDER, Origin, Programme, in_apply_order, located

Read = tuple[Definition, Origin] | None


def parse_programme(files: Mapping[str, bytes], root: str = "") -> Programme:
    """The programme in `files`, by paths relative to its folder, with `/`.

    `root` is put before the paths in problems. Raises ProgrammeErrors with every problem found.
    """
    reading = _Reading(files, root)
    for kind in ORDER:
        for name in reading.layout.names(kind):
            reading.read(kind, name)
    reading.read_unused_partials()
    return reading.checked()


class _Reading:
    """What is known so far of one programme."""

    def __init__(self, files: Mapping[str, bytes], root: str) -> None:
        self.layout: Layout = lay_out(files)
        self._files = files
        self._root = root
        self._texts: dict[str, TextFile | None] = {}
        self._problems: list[Problem] = []
        self._found: dict[Key, Definition] = {}
        self._origins: dict[Key, Origin] = {}
        self._unread: set[Key] = set()
        for problem in (*self.layout.errors, *parts_missing(self.layout)):
            self._problems.append(self._below_root(problem))

    def read(self, kind: str, name: str) -> None:
        """Read one definition, or note why it cannot be."""
        paths = self.layout.roles(kind, name)
        texts = {role: self._text(path) for role, path in paths.items()}
        read = None
        if all(texts.values()):
            whole = {role: text for role, text in texts.items() if text is not None}
            read = self._read(kind, name, whole)
        if read is None:
            self._unread.add((kind, name))
            self._origins[kind, name] = Origin(self._shown(min(paths.values())))
            return
        definition, origin = read
        self._found[key_of(definition)] = definition
        self._origins[key_of(definition)] = origin

    def read_unused_partials(self) -> None:
        """Shared sources that no template uses are read too, for their encoding alone."""
        for name in self.layout.names("partial"):
            self._shared(name)

    def checked(self) -> Programme:
        """The programme, or all that is wrong with it."""
        partials = frozenset(self.layout.names("partial"))
        findings = check_programme(self._found.values(), frozenset(self._unread), partials)
        folder = self._root or "campaign.yaml"
        errors = list(self._problems)
        warnings: list[Problem] = []
        for finding in findings:
            problem = located(finding, self._origins, folder)
            (warnings if finding.warning else errors).append(problem)
        if errors:
            raise ProgrammeErrors(in_order(errors))
        warnings += [self._below_root(problem) for problem in self.layout.warnings]
        return Programme(in_apply_order(self._found), self._origins, in_order(warnings))

    def _read(self, kind: str, name: str, texts: Mapping[str, TextFile]) -> Read:
        readers: dict[str, Callable[[], Read]] = {
            "campaign": lambda: self._one(texts[".yaml"], read_campaign),
            "areas": lambda: self._areas(name, texts),
            "segment": lambda: self._one(texts[".yaml"], lambda f, p: read_segment(name, f, p)),
            "template": lambda: self._template(name, texts),
            "send": lambda: self._one(texts[".yaml"], lambda f, p: read_send(name, f, p)),
        }
        return readers[kind]()

    def _one(self, file: TextFile, read: Callable[[TextFile, FileProblems], Read]) -> Read:
        problems = FileProblems(file.path)
        found = read(file, problems)
        self._problems += problems.problems
        return found

    def _areas(self, name: str, texts: Mapping[str, TextFile]) -> Read:
        if ".yaml" not in texts:
            return None
        table = texts.get(".csv")
        rows = (table, FileProblems(table.path)) if table else None
        found = self._one(texts[".yaml"], lambda f, p: read_areas(name, f, rows, p))
        self._problems += rows[1].problems if rows else ()
        return found

    def _template(self, name: str, texts: Mapping[str, TextFile]) -> Read:
        if any(role not in texts for role in TEMPLATE_FILES):
            return None
        files = TemplateFiles(*(texts[role] for role in TEMPLATE_FILES))
        names = self.layout.names("partial")
        shared = {each: found for each in names if (found := self._shared(each))}
        return self._one(files.head, lambda _, p: read_template(name, files, shared, p))

    def _shared(self, name: str) -> TextFile | None:
        return self._text(self.layout.roles("partial", name)["partial"])

    def _text(self, path: str) -> TextFile | None:
        """The text of a file; problems of its encoding are noted once."""
        if path not in self._texts:
            shown = self._shown(path)
            problems = FileProblems(shown)
            text = text_of(self._files[path], problems)
            self._problems += problems.problems
            self._texts[path] = TextFile(shown, text) if text is not None else None
        return self._texts[path]

    def _below_root(self, problem: Problem) -> Problem:
        return replace(problem, file=self._shown(problem.file))

    def _shown(self, path: str) -> str:
        return f"{self._root}/{path}" if self._root else path
