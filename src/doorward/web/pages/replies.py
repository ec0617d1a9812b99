"""The pages of Envoy's own replies, rendered from the table of states when a gateway starts.

Not here: the replies that use them (`enforcement.envoy.replies`).
"""

from __future__ import annotations

from markupsafe import Markup

from doorward.enforcement.envoy.reply_cases import PAGE_STATES
from doorward.enforcement.plan import Placeholder, ReplyPages
from doorward.web.look.catalogues import CATALOGUES, SOURCE
from doorward.web.look.rendering import Look, page_policy, translate
from doorward.web.pages.message import PROBLEMS_PATH, Message, build_context, describe_problem
from doorward.web.pages.states import STATES
from doorward.web.pages.surface import build_targets

_VALUES = {
    "application": Placeholder.APPLICATION.value,
    "who": Placeholder.WHO.value,
    "organisation": "",
    "issuer": "",
}


_IN_EVERY_LANGUAGE = frozenset({"cookies-too-large"})
"""Envoy cannot read the head of such a request, so it does not know the language."""


def build_reply_pages(look: Look, *, portal_origin: str = "") -> ReplyPages:
    """Return pages and texts of every state that Envoy answers with, in every language.

    Args:
        look: with the path of static files on an application's host.
        portal_origin: origin of the portal; empty if pages have no links to it.
    """
    languages = (SOURCE, *(one for one in sorted(CATALOGUES) if one != SOURCE))
    targets = build_targets(portal_origin)
    html, words = {}, {}
    for state in PAGE_STATES:
        problem = describe_problem(Message(state=state, language=SOURCE, values=_VALUES))
        words[state] = str(problem["title"]), str(problem["detail"])
        for language in languages:
            message = Message(
                state=state,
                language=language,
                values=_VALUES,
                incident=Placeholder.INCIDENT.value,
                targets=targets,
            )
            context = build_context(look, message)
            moment = Markup('<time datetime="{0}">{0}</time>').format(Placeholder.MOMENT.value)
            context["facts"].insert(1, (translate("Time", language), moment))
            context["also"] = []
            if state in _IN_EVERY_LANGUAGE and language == languages[0]:
                context["also"] = [(one, *_words(state, one)) for one in languages[1:]]
            html[state, language] = look.render("reply.html", context, language)
    return ReplyPages(
        languages=languages, html=html, words=words, policy=page_policy(), problems=PROBLEMS_PATH
    )


def _words(state: str, language: str) -> tuple[str, str]:
    found = STATES[state]
    return translate(found.title, language, **_VALUES), translate(found.why, language, **_VALUES)
