"""Back: what comes over HTTP. Opens, clicks, unsubscribes, actions, SES notifications.

Every hit is durable before it is answered. Never decides who is mailed; only says what happened.
"""
