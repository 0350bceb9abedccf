"""The SES sandbox: an Amazon SES to rehearse with, on one machine.

It speaks SESv2 to any stock client, keeps every accepted mail as a file, posts SES's events as
signed SNS notifications, and misbehaves on request. It imports nothing from the services, so it
can serve as their judge.
"""
