"""What people hold: the command line. It reads the log, asks the services, and writes orders.

It never renders, sends or chooses people itself; what must be known of them is asked over HTTP.
"""
