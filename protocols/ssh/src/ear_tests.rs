#![expect(clippy::unwrap_used, reason = "tests")]

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{self, Auth, ChannelOpenHandle, Handle};

use super::*;
use crate::target::Target;

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
async fn connected() -> (client::Handle<Ear>, Handle, Arc<Pair>) {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
    let shown = key.public_key().to_openssh().unwrap();
    let target = serde_json::json!({ "host": "web", "host_keys": [shown] });
    let target: Target = serde_json::from_value(target).unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let config = server::Config { keys: vec![key], ..server::Config::default() };
    let serving = tokio::spawn(server::run_stream(Arc::new(config), theirs, Host));
    let pair = Arc::new(Pair::default());
    let keys = Arc::new(HostKeys::of(&target).unwrap());
    let ear = Ear { pair: Arc::clone(&pair), leads_on: false, keys, host: "web".into() };
    let mut handle = client::connect_stream(Arc::new(client::Config::default()), ours, ear).await.unwrap();
    let host = serving.await.unwrap().unwrap().handle();
    assert!(handle.authenticate_none("root").await.unwrap().success());
    (handle, host, pair)
}

#[tokio::test]
async fn nothing_that_a_server_opens_unasked_is_opened() {
    let (handle, host, _pair) = connected().await;
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
