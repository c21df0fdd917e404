//! What a connection reads from and writes to: TCP, with or without TLS.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A stream of octets in both directions.
pub(super) enum Stream {
    /// As they are.
    Plain(TcpStream),

    /// In TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads what has come; nothing is read at the end.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, read),
            Stream::Tls(stream) => match ready!(Pin::new(stream).poll_read(context, read)) {
                // Without the word of TLS that it was the end. Messages have
                // lengths, so that none can be cut short unseen.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                result => Poll::Ready(result),
            },
        }
    }

    /// Writes what is taken at once; returns how many octets that are.
    ///
    /// Some of them may still be on their way, see [`Self::holds_octets`].
    pub(super) fn write_at_once(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => match stream.try_write(octets) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
                result => result,
            },
            Stream::Tls(stream) => {
                let context = &mut Context::from_waker(Waker::noop());
                let mut done = 0;
                while done < octets.len() {
                    match Pin::new(&mut *stream).poll_write(context, &octets[done..]) {
                        Poll::Ready(count) => done += count?,
                        Poll::Pending => break,
                    }
                }
                Ok(done)
            }
        }
    }

    /// Says whether octets that were written have not left yet.
    pub(super) fn holds_octets(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.get_ref().1.wants_write(),
        }
    }

    /// Writes octets and all that have not left yet.
    pub(super) async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(octets).await,
            Stream::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
        }
    }

    /// Has what the client did not read leave the system's buffers at the end.
    pub(super) fn forget_unread(&mut self) {
        let stream = match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_mut().0,
        };
        // Closed already, perhaps.
        let _ = stream.set_zero_linger();
    }

    /// Says that nothing more follows, if there is room to say it.
    pub(super) fn say_end(&mut self) {
        if let Stream::Tls(stream) = self {
            let context = &mut Context::from_waker(Waker::noop());
            // Whoever waits for a reader here can be made to wait.
            let _ = Pin::new(stream).poll_shutdown(context);
        }
    }
}
