"""The body of SESv2 `SendEmail` as the service model has it (members keep the model's names).

Shape only (blobs come out of base64); what SES makes of the contents is decided in submission.py.
Members the sandbox cannot honour are read all the same, so that they can be refused instead of
dropped in silence.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.ses_sandbox.refusals import bad_request, malformed_json


class _Shape(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, val_json_bytes="base64")


class TextInput(_Shape):
    """`Content`: text and the charset it is to be written in."""

    Data: str
    Charset: str | None = None


class BodyInput(_Shape):
    """`Body`: one part or both."""

    Text: TextInput | None = None
    Html: TextInput | None = None


class HeaderInput(_Shape):
    """`MessageHeader`."""

    Name: str
    Value: str


class AttachmentInput(_Shape):
    """`Attachment`."""

    RawContent: bytes
    FileName: str
    ContentDisposition: str | None = None
    ContentId: str | None = None
    ContentType: str | None = None


class SimpleInput(_Shape):
    """`Message`."""

    Subject: TextInput
    Body: BodyInput
    Headers: list[HeaderInput] = Field(default_factory=list)
    Attachments: list[AttachmentInput] = Field(default_factory=list)


class RawInput(_Shape):
    """`RawMessage`."""

    Data: bytes


class ContentInput(_Shape):
    """`EmailContent`: exactly one member is to be given."""

    Simple: SimpleInput | None = None
    Raw: RawInput | None = None
    Template: dict[str, object] | None = None


class DestinationInput(_Shape):
    """`Destination`."""

    ToAddresses: list[str] = Field(default_factory=list)
    CcAddresses: list[str] = Field(default_factory=list)
    BccAddresses: list[str] = Field(default_factory=list)


class TagInput(_Shape):
    """`MessageTag`."""

    Name: str
    Value: str


class SendEmailInput(_Shape):
    """`SendEmailRequest`."""

    Content: ContentInput
    FromEmailAddress: str | None = None
    Destination: DestinationInput = Field(default_factory=DestinationInput)
    ReplyToAddresses: list[str] = Field(default_factory=list)
    FeedbackForwardingEmailAddress: str | None = None
    EmailTags: list[TagInput] = Field(default_factory=list)
    ConfigurationSetName: str | None = None
    EndpointId: str | None = None
    TenantName: str | None = None
    ListManagementOptions: dict[str, object] | None = None
    ConfigurationOverrides: dict[str, object] | None = None


def read_send_email(body: bytes) -> SendEmailInput:
    """Raises a SerializationException that names the first member of a wrong shape."""
    try:
        return SendEmailInput.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise malformed_json(f"{where}: {first['msg']}") from None


def require_offered(given: SendEmailInput) -> None:
    """Raise a BadRequestException for what SES can do and the sandbox cannot."""
    not_offered: dict[str, object] = {
        "Content.Template": given.Content.Template,
        "EndpointId": given.EndpointId,
        "TenantName": given.TenantName,
        "ListManagementOptions": given.ListManagementOptions,
    }
    if "ENABLED" in str(given.ConfigurationOverrides):
        not_offered["ConfigurationOverrides (tracking)"] = given.ConfigurationOverrides
    for name, value in not_offered.items():
        if value is not None:
            raise bad_request(f"The sandbox does not offer {name}.")
