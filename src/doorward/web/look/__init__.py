"""The appearance of all pages: templates, style, icons, languages, brand.

Not here: which page is shown, and its content (`web.pages`, `web.portal`, `web.enrolment`).
"""
