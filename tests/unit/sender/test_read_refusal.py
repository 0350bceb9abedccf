"""The table of SES's refusals: whom each one ends, and whom it only holds."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.sender.answers import LONGEST_REASON, fit_to_tell, read_refusal, read_response


@pytest.mark.parametrize(
    ("status", "code", "message", "verdict"),
    [
        (400, "MessageRejected", "Transaction failed: Duplicate header 'Subject'.", "failed"),
        (400, "BadRequestException", "Local address contains control or whitespace", "failed"),
        (400, "ValidationError", "a field is too long", "failed"),
        (413, "413", "Request Entity Too Large", "failed"),
        (400, "MessageRejected", "Email address is not verified.", "hold_send"),
        (400, "MailFromDomainNotVerifiedException", "", "hold_send"),
        (404, "NotFoundException", "Configuration set <x> does not exist.", "hold_send"),
        (400, "AccountSuspendedException", "", "hold_all"),
        (400, "SendingPausedException", "", "hold_all"),
        (400, "LimitExceededException", "", "hold_all"),
        (429, "TooManyRequestsException", "Daily message quota exceeded.", "hold_all"),
        (429, "TooManyRequestsException", "Maximum sending rate exceeded.", "throttled"),
        (400, "ThrottlingException", "Rate exceeded", "throttled"),
        (403, "InvalidSignatureException", "Signature expired", "hold_all"),
        (403, "ExpiredTokenException", "The security token is expired", "hold_all"),
        (400, "RequestExpired", "", "hold_all"),
        (401, "NotAuthorized", "", "hold_all"),
        (408, "RequestTimeoutException", "", "retry"),
        (400, "RequestAbortedException", "", "in_doubt"),
        (500, "InternalFailure", "", "in_doubt"),
        (503, "ServiceUnavailable", "", "in_doubt"),
        (301, "PermanentRedirect", "", "in_doubt"),
        (0, "", "", "in_doubt"),
    ],
)
def test_each_refusal_means_what_ses_says(
    status: int, code: str, message: str, verdict: str
) -> None:
    answer = read_refusal(status, code, message)

    assert answer.verdict == verdict
    assert code.removesuffix("Exception") in answer.reason


@given(st.integers(400, 499), st.text(max_size=30), st.text(max_size=50))
def test_a_refusal_is_never_doubt_and_never_acceptance(status: int, code: str, said: str) -> None:
    assume(code.removesuffix("Exception") != "RequestAborted")
    assert read_refusal(status, code, said).verdict not in {"in_doubt", "accepted", "not_called"}


@given(
    st.one_of(st.integers(max_value=399), st.integers(min_value=500)),
    st.sampled_from(["MessageRejected", "TooManyRequestsException", "RequestTimeout", ""]),
    st.text(max_size=50),
)
def test_any_other_status_is_doubt_whatever_it_says(status: int, code: str, said: str) -> None:
    assert read_refusal(status, code, said).verdict == "in_doubt"


def test_what_nobody_has_foreseen_holds_the_send_and_fails_no_audience() -> None:
    answer = read_refusal(418, "TeapotException", "short and stout")

    assert answer.verdict == "hold_send"
    assert "418 Teapot: short and stout" in answer.reason


def test_holds_say_how_long() -> None:
    assert read_refusal(400, "SendingPausedException", "").after_seconds > 0
    assert read_refusal(403, "AccessDeniedException", "").after_seconds > 0


@given(
    st.text(min_size=1, max_size=2 * LONGEST_REASON),
    st.emails(),
    st.text(max_size=2 * LONGEST_REASON),
)
def test_a_reason_is_one_short_line_without_the_address(
    before: str, address: str, after: str
) -> None:
    """Nor with a part of it, where the line is cut."""
    refused = read_refusal(400, "MessageRejected", f"{before} <{address}> {after}")

    said = fit_to_tell(refused, address).reason

    assert len(said) <= LONGEST_REASON
    assert len(said.splitlines()) == 1
    assert address not in said
    if len(before) < LONGEST_REASON:
        assert f"<{address}"[: len(address)] not in said


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>Sign in</html>", b'{"MessageId": null}'])
def test_success_without_the_id_of_ses_is_no_acceptance(body: bytes) -> None:
    """Something between us and SES may have said it."""
    assert read_response(200, {}, body).verdict == "in_doubt"
