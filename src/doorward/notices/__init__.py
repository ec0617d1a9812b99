"""Notices by mail and webhook: texts, the two ways to send them, and the sender that works through what waits.

Not here: which notices there should be (`directory.notice_planning`), the settings (`runtime.notice_settings`).
"""
