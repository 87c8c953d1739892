#![expect(clippy::unwrap_used, reason = "tests")]

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{self, Auth, ChannelOpenHandle, Handle};
use tokio::sync::mpsc;

use super::*;
use crate::cut::cuttable;
use crate::origin::{Bind, X11};
use crate::target::Target;
use crate::welcome::{ARRIVALS, Arrival, Line, Lobby};

/// A server that lets everybody in.
struct Host;

impl server::Handler for Host {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<server::Msg>,
        reply: ChannelOpenHandle,
        _: &mut server::Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }
}

/// A connection to a server, and the server's end of it.
async fn connected(welcome: &Arc<Welcome>) -> (client::Handle<Ear>, Handle) {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
    let shown = key.public_key().to_openssh().unwrap();
    let target = serde_json::json!({ "host": "web", "host_keys": [shown] });
    let target: Target = serde_json::from_value(target).unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let config = server::Config { keys: vec![key], ..server::Config::default() };
    let serving = tokio::spawn(server::run_stream(Arc::new(config), theirs, Host));
    let pair = Arc::new(Pair::default());
    let keys = Arc::new(HostKeys::of(&target).unwrap());
    let ear = Ear::new(pair, false, keys, "web".into(), Arc::clone(welcome));
    let mut handle = client::connect_stream(Arc::new(client::Config::default()), ours, ear).await.unwrap();
    let host = serving.await.unwrap().unwrap().handle();
    assert!(handle.authenticate_none("root").await.unwrap().success());
    (handle, host)
}

#[tokio::test]
async fn nothing_that_a_server_opens_unasked_is_opened() {
    let (lobby, _arrivals) = Lobby::new();
    let (handle, host) = connected(&Arc::new(Welcome::new(lobby))).await;
    let _channel = handle.channel_open_session().await.unwrap();
    let opened = [
        host.channel_open_session().await.is_ok(),
        host.channel_open_direct_tcpip("a", 1, "b", 2).await.is_ok(),
        host.channel_open_direct_streamlocal("/a").await.is_ok(),
        host.channel_open_forwarded_tcpip("localhost", 80, "b", 2).await.is_ok(),
        host.channel_open_forwarded_streamlocal("/a").await.is_ok(),
        host.channel_open_agent().await.is_ok(),
        host.channel_open_x11("b", 2).await.is_ok(),
    ];
    assert_eq!(opened, [false; 7]);
}

/// Takes what arrives, and keeps it.
fn taking(mut arrivals: mpsc::Receiver<Box<Arrival>>) {
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(arrival) = arrivals.recv().await {
            let Arrival { pair, write, reply, line, room } = *arrival;
            reply.accept().await;
            kept.push((pair, write, line, room));
        }
    });
}

#[tokio::test]
async fn what_was_asked_for_is_let_in_and_nothing_beside_it() {
    let (lobby, arrivals) = Lobby::new();
    taking(arrivals);
    let welcome = Arc::new(Welcome::new(lobby));
    let (handle, host) = connected(&welcome).await;
    let line = Arc::new(Line { handle, pair: Arc::default(), cutter: cuttable(tokio::io::empty()).1 });
    welcome.listen(&Bind::Tcp { host: "localhost".into(), port: 80 }, &line);
    let opened = [
        host.channel_open_forwarded_tcpip("localhost", 80, "b", 2).await.is_ok(),
        host.channel_open_forwarded_tcpip("localhost", 81, "b", 2).await.is_ok(),
        host.channel_open_forwarded_tcpip("0.0.0.0", 80, "b", 2).await.is_ok(),
        host.channel_open_forwarded_streamlocal("localhost").await.is_ok(),
        host.channel_open_agent().await.is_ok(),
        host.channel_open_x11("b", 2).await.is_ok(),
    ];
    assert_eq!(opened, [true, false, false, false, false, false]);
    welcome.expect(&Message::Agent);
    assert!(host.channel_open_agent().await.is_ok());
    assert!(host.channel_open_session().await.is_err());
}

#[tokio::test]
async fn a_display_for_one_connection_is_for_one() {
    let (lobby, arrivals) = Lobby::new();
    taking(arrivals);
    let welcome = Arc::new(Welcome::new(lobby));
    let (_handle, host) = connected(&welcome).await;
    let display = |once| Message::X11(X11 { once, protocol: "p".into(), cookie: "c0".into(), screen: 0 });
    welcome.expect(&display(true));
    assert!(host.channel_open_x11("b", 1).await.is_ok());
    assert!(host.channel_open_x11("b", 2).await.is_err());
    welcome.expect(&display(false));
    for port in 3..6 {
        assert!(host.channel_open_x11("b", port).await.is_ok());
    }
}

#[tokio::test]
async fn a_host_opens_so_many_channels_and_no_more() {
    let (lobby, arrivals) = Lobby::new();
    taking(arrivals);
    let welcome = Arc::new(Welcome::new(lobby));
    let (_handle, host) = connected(&welcome).await;
    welcome.expect(&Message::Agent);
    for each in 0..ARRIVALS {
        assert!(host.channel_open_agent().await.is_ok(), "{each}");
    }
    assert!(host.channel_open_agent().await.is_err());
}
