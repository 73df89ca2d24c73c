#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""echo_asyncio.py [uvloop]: an echo server on asyncio, by a protocol."""
import asyncio
import resource
import sys


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, '127.0.0.1', 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == '__main__':
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if sys.argv[1:] == ['uvloop']:
        import uvloop
        uvloop.install()
    asyncio.run(main())
