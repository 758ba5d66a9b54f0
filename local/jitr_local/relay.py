"""Brings what containers ask on their network's gateway to the local stack, which listens on 127.0.0.1 only.

``python -m jitr_local.relay HOST PORT TARGET_PORT`` listens on HOST:PORT until it is stopped. Only the machine itself
and the containers of that network reach HOST.
"""

import asyncio
import contextlib
import sys

_CHUNK = 65536


async def serve(host: str, port: int, target: int) -> None:
    """Relay each connection to ``host``:``port`` to 127.0.0.1:``target``, for ever."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        writer.close()

    server = await asyncio.start_server(relay, host, port)
    async with server:
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
