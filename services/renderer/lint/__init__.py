"""Looks at rendered mails as their readers will: contrast, dark mode, size, plain text. Pure."""
