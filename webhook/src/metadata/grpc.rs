//! One gRPC call after the other over one HTTP/2 connection: a message to a path, a message back.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest message that is taken, in bytes: etcd's values have at most 1.5 MiB unless it is told otherwise, and a page has several.
pub const LONGEST_MESSAGE_BYTES: usize = 64 << 20;

/// gRPC's code for a wrong or expired token.
const UNAUTHENTICATED: u32 = 16;

/// gRPC's code for a server that cannot answer now.
const UNAVAILABLE: u32 = 14;

/// Why a call gave no answer. Never holds what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// No answer in time.
    #[error("no answer within {} seconds", .0.as_secs())]
    Late(Duration),
    /// The answer is longer than [`LONGEST_MESSAGE_BYTES`].
    #[error("the answer is longer than {} MiB", LONGEST_MESSAGE_BYTES >> 20)]
    TooLong,
    /// The server refused: gRPC's code and its message.
    #[error("{1} (code {0})")]
    Refused(u32, String),
    /// The answer is not gRPC.
    #[error("the answer is not gRPC: {0}")]
    Malformed(&'static str),
}

impl Failure {
    /// Whether the call may come to an end when it is made again.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Late(_) | Self::Refused(UNAVAILABLE, _))
    }

    /// Whether the token was refused: nothing was done.
    #[must_use]
    pub fn is_of_token(&self) -> bool {
        matches!(self, Self::Refused(code, message) if *code == UNAUTHENTICATED || message.contains("invalid auth token"))
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// A connection.
#[derive(Debug, Clone)]
pub struct Channel {
    sender: SendRequest<Full<Bytes>>,
    base: String,
}

impl Channel {
    /// Connects; with `tls`, over TLS.
    ///
    /// # Errors
    /// When there is no way to the server.
    pub async fn open(address: &Address, tls: Option<&Arc<ClientConfig>>, at_most: Duration) -> Result<Self, Failure> {
        tokio::time::timeout(at_most, Self::connect(address, tls)).await.map_err(|_| Failure::Late(at_most))?
    }

    async fn connect(address: &Address, tls: Option<&Arc<ClientConfig>>) -> Result<Self, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Connection(error.to_string());
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(|error| broken(&error))?;
        let _ = stream.set_nodelay(true);
        let sender = match tls {
            None => drive(handshake(TokioExecutor::new(), TokioIo::new(stream)).await),
            Some(tls) => {
                let name = ServerName::try_from(address.host.clone()).map_err(|error| broken(&error))?;
                let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|error| broken(&error))?;
                drive(handshake(TokioExecutor::new(), TokioIo::new(stream)).await)
            }
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self { sender: sender.map_err(|error| broken(&error))?, base: format!("{scheme}://{address}") })
    }

    /// Calls a method (`/package.Service/Method`) with one message. A stream of answers is read to its end, and its first message counts.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses.
    pub async fn call(&self, path: &str, message: &[u8], token: Option<&HeaderValue>, at_most: Duration) -> Result<Bytes, Failure> {
        tokio::time::timeout(at_most, self.ask(path, message, token)).await.map_err(|_| Failure::Late(at_most))?
    }

    async fn ask(&self, path: &str, message: &[u8], token: Option<&HeaderValue>) -> Result<Bytes, Failure> {
        let broken = |error: hyper::Error| Failure::Connection(error.to_string());
        let uri: Uri = format!("{}{path}", self.base).parse().map_err(|_| Failure::Connection("the address is not one".into()))?;
        let mut request = Request::post(uri).body(Full::new(framed(message)?)).map_err(|_| Failure::Connection("the address is not one".into()))?;
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        if let Some(token) = token {
            headers.insert("token", token.clone());
        }
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(broken)?;
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        // A refusal may come without a body: its status then stands among the headers.
        status(&head.headers)?;
        if !head.status.is_success() {
            return Err(Failure::Malformed("it is an error of HTTP"));
        }
        let body = Limited::new(body, LONGEST_MESSAGE_BYTES).collect().await.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Failure::TooLong,
            None => Failure::Connection(error.to_string()),
        })?;
        let Some(trailers) = body.trailers() else { return Err(Failure::Malformed("it has no trailers")) };
        status(trailers)?;
        if !trailers.contains_key("grpc-status") {
            return Err(Failure::Malformed("it has no status"));
        }
        unframed(&body.to_bytes())
    }
}

/// Lets a connection work until nobody sends any more.
fn drive<S, C, E>(connected: Result<(S, C), E>) -> Result<S, E>
where
    C: Future + Send + 'static,
    C::Output: Send,
{
    let (sender, connection) = connected?;
    tokio::spawn(connection);
    Ok(sender)
}

/// What a server says of a call, where it says it here.
fn status(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(code) = headers.get("grpc-status") else { return Ok(()) };
    let code: u32 = code.to_str().ok().and_then(|code| code.parse().ok()).ok_or(Failure::Malformed("its status is no number"))?;
    if code == 0 {
        return Ok(());
    }
    let message = headers.get("grpc-message").map_or(String::new(), |message| percent_decoded(message.as_bytes()));
    Err(Failure::Refused(code, message))
}

/// gRPC encodes its messages so.
fn percent_decoded(text: &[u8]) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => break,
            [b'%', high, low, tail @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.extend(hex(*high).zip(hex(*low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()));
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One message as gRPC sends it: not compressed, its length before it.
fn framed(message: &[u8]) -> Result<Bytes, Failure> {
    let length = u32::try_from(message.len()).map_err(|_| Failure::TooLong)?;
    let mut bytes = Vec::with_capacity(message.len() + 5);
    bytes.push(0);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    Ok(bytes.into())
}

/// The first message of a body.
fn unframed(body: &Bytes) -> Result<Bytes, Failure> {
    let (prefix, rest) = body.split_first_chunk::<5>().ok_or(Failure::Malformed("it is empty"))?;
    let [compressed, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    if compressed != 0 || rest.len() < length {
        return Err(Failure::Malformed("it is cut off, or packed"));
    }
    Ok(body.slice(5..5 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_back_and_a_cut_one_is_not() {
        let frame = framed(b"message").unwrap();
        assert_eq!((&frame[..5], unframed(&frame).unwrap()), (&[0, 0, 0, 0, 7][..], Bytes::from_static(b"message")));
        for length in 0..frame.len() {
            assert!(unframed(&frame.slice(..length)).is_err(), "{length}");
        }
        assert!(unframed(&Bytes::from_static(&[1, 0, 0, 0, 0])).is_err(), "it is packed");
    }

    #[test]
    fn a_refusal_is_told_with_its_words() {
        let mut headers = HeaderMap::new();
        assert_eq!(status(&headers), Ok(()));
        headers.insert("grpc-status", HeaderValue::from_static("16"));
        headers.insert("grpc-message", HeaderValue::from_static("etcdserver: invalid auth token 100%25%zz%"));
        let failure = status(&headers).unwrap_err();
        assert_eq!(failure, Failure::Refused(16, "etcdserver: invalid auth token 100%%zz%".into()));
        assert!(failure.is_of_token() && !failure.may_pass());
    }
}
