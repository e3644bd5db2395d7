//! A connection to a gateway: its address, its challenge, frames in both directions.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures_util::{SinkExt, StreamExt};
use phaselab_core::gateway::{FRAME_BYTES_MAX, FromGateway, Nonce, ToGateway};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::failure::io_words;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a sign of life for so long the connection is over.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a gateway is: the address of the page that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayAddress {
    authority: String,
}

impl FromStr for GatewayAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<GatewayAddress, String> {
        let expected = || {
            format!(
                "{text}: expected the address that `phaselab serve --lobby` printed, as http://localhost:4700"
            )
        };
        let uri: axum::http::Uri = text.trim().parse().map_err(|_| expected())?;
        if uri.scheme_str() == Some("https") {
            return Err(format!(
                "{text}: a node speaks http to the gateway; packets are signed anyhow. Name its own address, not that of a proxy"
            ));
        }
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) if !authority.as_str().contains('@') => {
                let port = authority.port_u16().unwrap_or(80);
                Ok(GatewayAddress {
                    authority: format!("{}:{port}", authority.host()),
                })
            }
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// A connection to a gateway, challenged.
pub(crate) struct Challenged {
    socket: WebSocketStream<TcpStream>,
    heard: Instant,
    /// What is to be signed.
    pub(crate) nonce: Nonce,
}

impl Challenged {
    /// Connects, and waits for the challenge.
    ///
    /// # Errors
    /// Why that is impossible now, in words.
    pub(crate) async fn connect(address: &GatewayAddress) -> Result<Challenged, String> {
        let connecting = async {
            let stream = TcpStream::connect(&address.authority)
                .await
                .map_err(|error| io_words(&error))?;
            let _ = stream.set_nodelay(true);
            let config = WebSocketConfig::default()
                .max_message_size(Some(FRAME_BYTES_MAX))
                .max_frame_size(Some(FRAME_BYTES_MAX));
            let url = format!("ws://{}/ws", address.authority);
            let (socket, _) = client_async_with_config(url, stream, Some(config))
                .await
                .map_err(|error| error.to_string())?;
            let mut challenged = Challenged {
                socket,
                heard: Instant::now(),
                nonce: Nonce::default(),
            };
            match challenged.next().await? {
                FromGateway::Challenge(nonce) => challenged.nonce = nonce,
                _ => return Err("it does not speak as a gateway does".to_owned()),
            }
            Ok(challenged)
        };
        timeout(CONNECT_TIMEOUT, connecting)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// Why the connection is over, in words.
    pub(crate) async fn send(&mut self, frame: &ToGateway) -> Result<(), String> {
        self.write(Message::Binary(frame.encode().into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), String> {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("it does not read".to_owned()),
        }
    }

    /// Asks for a sign of life, and gives a gateway up that has shown none for too long.
    pub(super) async fn ping(&mut self) -> Result<(), String> {
        if self.heard.elapsed() > IDLE_TIMEOUT {
            return Err("it is silent".to_owned());
        }
        self.write(Message::Ping(Bytes::new())).await
    }

    /// The next frame. Nothing is lost if the call is given up.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) async fn next(&mut self) -> Result<FromGateway, String> {
        loop {
            let message = match timeout(IDLE_TIMEOUT, self.socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Err(error.to_string()),
                Ok(None) => return Err("it closed the connection".to_owned()),
                Err(_) => return Err("it is silent".to_owned()),
            };
            self.heard = Instant::now();
            match message {
                Message::Binary(bytes) => {
                    return FromGateway::decode(&bytes)
                        .ok_or_else(|| "it does not speak as a gateway does".to_owned());
                }
                Message::Close(_) => return Err("it closed the connection".to_owned()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_the_page() {
        let parsed = |text: &str| {
            text.parse::<GatewayAddress>()
                .map(|address| address.to_string())
        };
        assert_eq!(
            parsed("http://localhost:4700"),
            Ok("http://localhost:4700".to_owned())
        );
        assert_eq!(
            parsed("http://[::1]:4700/"),
            Ok("http://[::1]:4700".to_owned())
        );
        assert_eq!(parsed("http://lab"), Ok("http://lab:80".to_owned()));
        for bad in [
            "",
            "localhost:4700",
            "ftp://x",
            "http://u@x",
            "/live",
            "http://",
        ] {
            assert!(parsed(bad).unwrap_err().contains("expected"), "{bad}");
        }
        assert!(parsed("https://lab").unwrap_err().contains("signed anyhow"));
    }
}
