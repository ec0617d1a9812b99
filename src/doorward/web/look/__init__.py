"""How everything looks and speaks: templates, style, icons, languages, brand.

Not here: which page is shown and what stands on it (`web.pages`, `web.portal`, `web.enrolment`).
"""
