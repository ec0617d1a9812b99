"""The gRPC server around the authorizer: Envoy's `envoy.service.auth.v3.Authorization/Check`.

Not here: any judgement. The socket is a file that only the gateway's own user may open. The number of calls at the
same time is limited: gRPC itself refuses further calls, and Envoy then closes the connection.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from doorward.core.errors import Unavailable
from doorward.gateway.authorizer.anonymous import is_whole
from doorward.gateway.authorizer.ext_authz_pb2 import CheckRequest, CheckResponse
from doorward.gateway.authorizer.judging import Authorizer

SERVICE = "envoy.service.auth.v3.Authorization"
WORKERS = 16
PENDING = 2_000
"""Calls held at the same time; at 1,400 calls a second the last one waits less than the two seconds that clients allow."""

OK, PERMISSION_DENIED = 0, 7


class AuthorizerServer:
    """Listens on a unix socket until `stop`.

    Args:
        authorizer: answers each call.
        socket: path of the unix socket; a socket file of an earlier run is replaced.
    """

    def __init__(self, authorizer: Authorizer, socket: Path) -> None:
        self._socket = socket
        self._server = grpc.server(
            ThreadPoolExecutor(WORKERS, thread_name_prefix="authorizer"),
            maximum_concurrent_rpcs=PENDING,
            options=(("grpc.so_reuseport", 0),),
        )
        handler = grpc.unary_unary_rpc_method_handler(
            _answer_with(authorizer),
            request_deserializer=CheckRequest.FromString,
            response_serializer=CheckResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),)
        )

    def start(self) -> None:
        """Listen.

        Raises:
            Unavailable: `authorizer-socket` if the socket cannot be made.
        """
        self._socket.unlink(missing_ok=True)
        before = os.umask(
            0o177
        )  # the socket has mode 0600 from the start: at no moment may other users connect
        try:
            self._server.add_insecure_port(f"unix:{self._socket}")
            self._server.start()
        except RuntimeError as error:
            raise Unavailable(
                "authorizer-socket",
                f"the authorizer cannot listen on {self._socket}: {error}",
                hint="check that the directory exists and that the gateway's user can write to it",
            ) from error
        finally:
            os.umask(before)

    def stop(self, grace_seconds: float = 1.0) -> None:
        """Finish the calls that are being answered, then close; later calls are refused."""
        self._server.stop(grace_seconds).wait()
        self._socket.unlink(missing_ok=True)


def _answer_with(authorizer: Authorizer) -> Callable[[CheckRequest, Any], CheckResponse]:
    def check(request: CheckRequest, context: Any) -> CheckResponse:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        answer = authorizer.check(request.attributes.source.certificate, metadata)
        response = CheckResponse()
        if answer.facts is None or not is_whole(answer.facts):
            response.status.code = PERMISSION_DENIED
            return response
        response.status.code = OK
        for name, value in answer.facts.items():
            response.dynamic_metadata.fields[name].string_value = value
        return response

    return check
