// SPDX-License-Identifier: MIT

// An echo server on Boost.Asio, by callbacks.
#include "net.h"

#include <boost/asio.hpp>
#include <memory>

using boost::asio::buffer;
using boost::asio::ip::tcp;
using boost::system::error_code;

struct conn : std::enable_shared_from_this<conn> {
	explicit conn(tcp::socket s) : socket(std::move(s))
	{
	}

	void receive()
	{
		auto got = [self = shared_from_this()](error_code e, std::size_t bytes) {
			if (!e)
				self->answer(bytes);
		};
		socket.async_read_some(buffer(buf), got);
	}

	void answer(std::size_t bytes)
	{
		auto sent = [self = shared_from_this()](error_code e, std::size_t) {
			if (!e)
				self->receive();
		};
		boost::asio::async_write(socket, buffer(buf, bytes), sent);
	}

	tcp::socket socket;
	char buf[NET_BUFFER];
};

static void take(tcp::acceptor &listener)
{
	listener.async_accept([&listener](error_code e, tcp::socket s) {
		if (!e)
			std::make_shared<conn>(std::move(s))->receive();
		take(listener);
	});
}

int main()
{
	boost::asio::io_context loop(1);
	tcp::acceptor listener(loop, tcp::v4(), net_listen(0));

	take(listener);
	loop.run();
}
