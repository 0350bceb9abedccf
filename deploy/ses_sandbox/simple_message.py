"""SES's `Simple` content made into a raw message, with the limits SES sets on it. Pure.

The result passes through the same checks as a message that came raw.
"""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from deploy.ses_sandbox.addresses import split_addresses
from deploy.ses_sandbox.refusals import bad_request
from deploy.ses_sandbox.send_email_input import (
    AttachmentInput,
    HeaderInput,
    SendEmailInput,
    SimpleInput,
    TextInput,
)

MAX_HEADERS: Final = 15
_HEADER_NAME: Final = re.compile(r"[!-9;-@A-~]{1,126}")
_HEADER_VALUE: Final = re.compile(r"[ -~]{1,995}")
_SET_BY_SES: Final = frozenset(
    (
        *("bcc", "cc", "content-disposition", "content-type", "date", "from", "message-id"),
        *("mime-version", "reply-to", "return-path", "subject", "to"),
    )
)


def build_simple_message(given: SendEmailInput, simple: SimpleInput) -> bytes:
    """The message SES would assemble, with CRLF line ends.

    Raises a BadRequestException for a header, charset or body that SES would not take.
    """
    message = EmailMessage(policy=SMTP)
    if given.FromEmailAddress is None:
        raise bad_request("FromEmailAddress is required with Simple content.")
    message["From"] = _address_list([given.FromEmailAddress])
    if given.Destination.ToAddresses:
        message["To"] = _address_list(given.Destination.ToAddresses)
    if given.Destination.CcAddresses:
        message["Cc"] = _address_list(given.Destination.CcAddresses)
    if given.ReplyToAddresses:
        message["Reply-To"] = _address_list(given.ReplyToAddresses)
    subject, _ = _in_charset(simple.Subject, "Subject")
    if "\r" in subject or "\n" in subject:
        raise bad_request("Subject contains control characters.")
    message["Subject"] = subject
    _set_body(message, simple)
    _add_headers(message, simple.Headers)
    for attachment in simple.Attachments:
        _attach(message, attachment)
    return message.as_bytes()


def _address_list(texts: list[str]) -> tuple[Address, ...]:
    return tuple(
        Address(display_name=name, addr_spec=address)
        for text in texts
        for name, address in split_addresses(text)
    )


def _in_charset(text: TextInput, where: str) -> tuple[str, str]:
    """The text and the charset to write it in; seven-bit ASCII unless one is named."""
    charset = text.Charset or "us-ascii"
    try:
        text.Data.encode(charset)
    except (UnicodeEncodeError, LookupError) as error:
        raise bad_request(f"{where} cannot be written in charset {charset}.") from error
    return text.Data, charset


def _set_body(message: EmailMessage, simple: SimpleInput) -> None:
    plain, html = simple.Body.Text, simple.Body.Html
    if plain is not None:
        text, charset = _in_charset(plain, "Body.Text")
        message.set_content(text, charset=charset)
    if html is not None:
        text, charset = _in_charset(html, "Body.Html")
        if plain is not None:
            message.add_alternative(text, subtype="html", charset=charset)
        else:
            message.set_content(text, subtype="html", charset=charset)
    if plain is None and html is None:
        raise bad_request("Body needs Text or Html.")


def _add_headers(message: EmailMessage, headers: list[HeaderInput]) -> None:
    if len(headers) > MAX_HEADERS:
        raise bad_request(f"More than {MAX_HEADERS} headers.")
    for header in headers:
        if not _HEADER_NAME.fullmatch(header.Name):
            raise bad_request("Invalid header name.")
        if not _HEADER_VALUE.fullmatch(header.Value) or len(header.Name + header.Value) > 996:
            raise bad_request(f"Invalid value of header '{header.Name}'.")
        if header.Name.lower() in _SET_BY_SES:
            raise bad_request(f"Header '{header.Name}' is not allowed.")
        message[header.Name] = header.Value


def _attach(message: EmailMessage, attachment: AttachmentInput) -> None:
    kind = attachment.ContentType or "application/octet-stream"
    maintype, _, subtype = kind.partition("/")
    message.add_attachment(
        attachment.RawContent,
        maintype=maintype,
        subtype=subtype or "octet-stream",
        filename=attachment.FileName,
        disposition=(attachment.ContentDisposition or "ATTACHMENT").lower(),
        cid=f"<{attachment.ContentId}>" if attachment.ContentId else None,
    )
