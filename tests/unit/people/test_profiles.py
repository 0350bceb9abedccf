"""Statements fold into one profile, whatever their order and however often they come."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from services.segmenter.people.profiles import (
    NOBODY_YET,
    Profile,
    fold,
    fold_bounce,
    fold_complaint,
    fold_unsubscribe,
    from_memory,
    to_memory,
)
from services.segmenter.people.standing import standing_of
from services.segmenter.people.statements import Statement
from shared.ids import address_key
from shared.wire.supporters import Consent, ExternalIdentity
from tests.unit.people.stating import SECRET, at, consent, statement

EMAILS = ("ada@example.org", "ada@example.com", "not an address", None)


def folded(*statements: Statement) -> Profile:
    return reduce(fold, statements, NOBODY_YET)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """Few values and few moments, so that statements collide and tie."""
    names = st.sampled_from(("a", "b"))
    by = draw(st.sampled_from(("import", "console", "api", "supporter")))
    consented = draw(st.booleans())
    return statement(
        draw(st.integers(0, 3)),
        stated_by=by,
        source=draw(st.sampled_from(("crm", "web"))),
        profile=draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "email": st.sampled_from(EMAILS),
                    "first_name": st.sampled_from(("Ada", "Eve", None)),
                    "postcode": st.sampled_from(("FK2 7AA", None)),
                },
            )
        ),
        attributes=draw(st.dictionaries(names, st.sampled_from((1, 2.5, "x", True, False, None)))),
        tags_added=tuple(draw(st.lists(names, max_size=2))),
        tags_removed=tuple(draw(st.lists(names, max_size=2))),
        given_areas=draw(st.dictionaries(names, st.sampled_from(("W1", "W2", "")))),
        identity=draw(
            st.none()
            | st.builds(ExternalIdentity, source=names, external_id=st.sampled_from(("1", "2")))
        ),
        consent=Consent(wording=draw(names), source="form", at=at(draw(st.integers(0, 2))))
        if consented
        else None,
        subscription=draw(st.sampled_from((None, "subscribed", "unsubscribed"))),
    )


def types_of(profile: Profile) -> dict[str, type]:
    """Python takes 1 and True for equal; rules do not."""
    return {name: type(stated.value) for name, stated in profile.attributes.items()}


@given(st.data(), st.lists(statements(), max_size=6))
def test_any_order_gives_the_same_profile(data: st.DataObject, stated: list[Statement]) -> None:
    profile, other = folded(*stated), folded(*data.draw(st.permutations(stated)))
    assert other == profile
    assert types_of(other) == types_of(profile)


@given(st.lists(statements(), max_size=5), st.data())
def test_hearing_something_again_changes_nothing(
    stated: list[Statement], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(stated), max_size=4)) if stated else []
    assert folded(*stated, *again) == folded(*stated)


@given(st.lists(statements(), max_size=5), st.sampled_from(("unsubscribed", "bounced", None)))
def test_what_is_kept_is_what_was_known(stated: list[Statement], fact: str | None) -> None:
    profile = folded(*stated)
    if fact == "unsubscribed":
        profile = fold_unsubscribe(profile, 7)
    elif fact == "bounced":
        profile = fold_bounce(profile, 7, 7)
    assert from_memory(to_memory(profile)) == profile


def test_the_newest_statement_of_each_field_wins() -> None:
    profile = folded(
        statement(5, profile={"first_name": "Ada", "last_name": "Byron"}),
        statement(9, profile={"last_name": "Lovelace"}),
        statement(7, profile={"first_name": "Augusta", "last_name": "King"}),
    )
    assert profile.text("first_name") == "Augusta"
    assert profile.text("last_name") == "Lovelace"


def test_a_tag_taken_away_later_is_gone_even_when_heard_of_first() -> None:
    profile = folded(statement(5, tags_removed=("vip",)), statement(3, tags_added=("vip",)))
    assert not profile.tags["vip"].value


def test_an_import_or_the_api_never_undoes_an_unsubscribe() -> None:
    for by in ("import", "api"):
        profile = folded(
            statement(1, profile={"email": "ada@example.org"}, consent=consent()),
            statement(2, subscription="unsubscribed", stated_by="supporter"),
            statement(9, subscription="subscribed", stated_by=by, consent=consent(8)),
        )
        assert standing_of(profile) == "unsubscribed"


def test_their_own_hand_undoes_an_unsubscribe() -> None:
    profile = folded(
        statement(1, profile={"email": "ada@example.org"}, consent=consent()),
        statement(2, subscription="unsubscribed", stated_by="import"),
        statement(3, subscription="subscribed", stated_by="supporter"),
    )
    assert standing_of(profile) == "mailable"


def test_the_console_undoes_an_unsubscribe_only_on_the_record_of_a_consent() -> None:
    gone = statement(2, subscription="unsubscribed", stated_by="supporter")
    address = statement(1, profile={"email": "ada@example.org"}, consent=consent())
    bare = statement(3, subscription="subscribed", stated_by="console")
    recorded = statement(3, subscription="subscribed", stated_by="console", consent=consent(3))
    assert standing_of(folded(address, gone, bare)) == "unsubscribed"
    assert standing_of(folded(address, gone, recorded)) == "mailable"


def test_of_the_same_moment_unsubscribed_wins() -> None:
    back = statement(2, subscription="subscribed", stated_by="supporter")
    gone = statement(2, subscription="unsubscribed", stated_by="supporter")
    assert folded(back, gone).unsubscribed_at == folded(gone, back).unsubscribed_at is not None


def test_a_new_address_lifts_a_bounce_but_never_an_unsubscribe() -> None:
    profile = folded(statement(1, profile={"email": "ada@example.org"}, consent=consent()))
    profile = fold_bounce(profile, profile_ms(5), profile_ms(5))
    assert standing_of(profile) == "bounced"
    moved = fold(profile, statement(9, profile={"email": "ada@example.com"}))
    assert standing_of(moved) == "mailable"
    gone = fold_unsubscribe(profile, profile_ms(6))
    moved = fold(gone, statement(9, profile={"email": "ada@example.com"}))
    assert standing_of(moved) == "unsubscribed"


def test_the_same_address_stated_again_does_not_lift_a_bounce() -> None:
    profile = folded(statement(1, profile={"email": "ada@example.org"}, consent=consent()))
    profile = fold_bounce(profile, profile_ms(5), profile_ms(5))
    again = fold(profile, statement(9, profile={"email": " Ada@Example.ORG "}))
    assert standing_of(again) == "bounced"


def test_a_bounce_from_before_the_address_was_known_is_of_another_one() -> None:
    profile = folded(
        statement(1, profile={"email": "ada@example.org"}, consent=consent()),
        statement(9, profile={"email": "ada@example.com"}),
    )
    assert standing_of(fold_bounce(profile, profile_ms(5), profile_ms(5))) == "mailable"


def test_a_late_bounce_of_a_mail_to_the_old_address_leaves_the_new_one_alone() -> None:
    profile = folded(
        statement(1, profile={"email": "ada@example.org"}, consent=consent()),
        statement(9, profile={"email": "ada@example.com"}),
    )
    late = fold_bounce(profile, profile_ms(30), profile_ms(5))
    assert standing_of(late) == "mailable"
    assert standing_of(fold_bounce(profile, profile_ms(30), profile_ms(20))) == "bounced"


def test_a_bounce_heard_of_before_the_person_still_counts() -> None:
    profile = fold_bounce(NOBODY_YET, profile_ms(5), profile_ms(5))
    profile = fold(profile, statement(1, profile={"email": "a@example.org"}, consent=consent()))
    assert standing_of(profile) == "bounced"


def test_a_complaint_is_never_taken_back() -> None:
    profile = folded(statement(1, profile={"email": "ada@example.org"}, consent=consent()))
    profile = fold_complaint(profile, profile_ms(2))
    profile = fold(profile, statement(9, subscription="subscribed", stated_by="supporter"))
    assert standing_of(profile) == "complained"


def test_the_address_key_is_of_the_address_that_won() -> None:
    profile = folded(
        statement(9, profile={"email": "new@example.org"}),
        statement(3, profile={"email": "old@example.org"}),
    )
    assert profile.address_key == address_key("new@example.org", SECRET)
    assert fold(profile, statement(10, profile={"email": "nonsense"})).address_key is None


def profile_ms(minutes: float) -> int:
    return int(at(minutes).timestamp() * 1000)
