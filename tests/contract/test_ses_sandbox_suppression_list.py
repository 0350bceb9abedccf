"""The sandbox's suppression list, as a stock client sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.ses_sandbox.process import SandboxProcess
from tests.contract.ses_sandbox_client import refusal, ses_client


def test_it_lists_page_by_page_since_a_time_and_outlives_the_process(tmp_path: Path) -> None:
    addresses = [f"p{number}@example.org" for number in range(5)]
    with SandboxProcess(tmp_path) as sandbox, ses_client(sandbox.url) as ses:
        assert ses.list_suppressed_destinations()["SuppressedDestinationSummaries"] == []
        for address in addresses:
            ses.put_suppressed_destination(EmailAddress=address.upper(), Reason="BOUNCE")
        status, name, _ = refusal(
            lambda: ses.put_suppressed_destination(EmailAddress="x@y", Reason="OTHER")  # type: ignore[arg-type]
        )
        assert (status, name) == (400, "BadRequestException")
    with SandboxProcess(tmp_path) as sandbox, ses_client(sandbox.url) as ses:
        found: list[str] = []
        asked: dict[str, str] = {}
        while True:
            page = ses.list_suppressed_destinations(PageSize=2, **asked)  # type: ignore[arg-type]
            found += [one["EmailAddress"] for one in page["SuppressedDestinationSummaries"]]
            if "NextToken" not in page:
                break
            asked = {"NextToken": page["NextToken"]}
        assert found == addresses
        ses.put_suppressed_destination(EmailAddress=addresses[0], Reason="COMPLAINT")
        [newest] = ses.list_suppressed_destinations()["SuppressedDestinationSummaries"][-1:]
        assert (newest["EmailAddress"], newest["Reason"]) == (addresses[0], "COMPLAINT")
        later = datetime.now(UTC) + timedelta(hours=1)
        since = ses.list_suppressed_destinations(StartDate=later)
        assert since["SuppressedDestinationSummaries"] == []
        wrong = refusal(lambda: ses.list_suppressed_destinations(NextToken="nonsense"))
        assert wrong[:2] == (400, "BadRequestException")
