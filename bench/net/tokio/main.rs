// SPDX-License-Identifier: MIT

//! An echo server on tokio's runtime of one thread: a task for each connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

async fn serve(mut c: TcpStream) {
    let mut buf = [0u8; 512];
    loop {
        match c.read(&mut buf).await {
            Ok(n) if n > 0 => {
                if c.write_all(&buf[..n]).await.is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

async fn accept_all() -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse().unwrap())?;
    let listener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?.port());
    loop {
        if let Ok((c, _)) = listener.accept().await {
            tokio::spawn(serve(c));
        }
    }
}

fn main() -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(accept_all())
}
