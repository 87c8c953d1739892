//! A server that lies: a real one, with somebody on the way who changes the answers to marked statements.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test support: what cannot be run fails the test"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// One message of the server, as it would come.
pub type Message = Vec<u8>;

/// Makes other bytes of the messages that answer a marked statement, `ReadyForQuery` included.
pub type Lie = fn(Vec<Message>) -> Vec<u8>;

/// A statement with this in its text is lied about.
pub const MARK: &str = "/*lie*/";

/// The port between broker and server, which lasts as long as the test process.
#[derive(Debug)]
pub struct Liar {
    port: u16,
    lie: Arc<Mutex<Option<Lie>>>,
}

impl Liar {
    /// Listens in front of a server.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let lie = Arc::new(Mutex::new(None));
        let told = Arc::clone(&lie);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let told = Arc::clone(&told);
                thread::spawn(move || between(&client, &server, &told));
            }
        });
        Self { port, lie }
    }

    /// Where brokers connect, without TLS.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What marked statements are answered with from now on.
    pub fn tell(&self, lie: Lie) {
        *self.lie.lock().unwrap_or_else(PoisonError::into_inner) = Some(lie);
    }
}

/// Passes on what the client says, and the server's answers until one is to be lied about.
fn between(client: &TcpStream, server: &TcpStream, told: &Arc<Mutex<Option<Lie>>>) {
    let marked = Arc::new(Mutex::new(false));
    let (mut from_client, mut to_server) =
        (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
    let marking = Arc::clone(&marked);
    let asking = thread::spawn(move || {
        let mut chunk = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_client.read(&mut chunk) {
            if chunk[..count].windows(MARK.len()).any(|window| window == MARK.as_bytes()) {
                *marking.lock().unwrap_or_else(PoisonError::into_inner) = true;
            }
            if to_server.write_all(&chunk[..count]).is_err() {
                break;
            }
        }
        let _or_closed = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let mut answer: Vec<Message> = Vec::new();
    while let Some(message) = message(&mut from_server) {
        let lying = *marked.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = if lying {
            let last = message[0] == b'Z';
            answer.push(message);
            if !last {
                continue;
            }
            *marked.lock().unwrap_or_else(PoisonError::into_inner) = false;
            let lie = told.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(|| panic!("no lie was told"));
            lie(std::mem::take(&mut answer))
        } else {
            message
        };
        if to_client.write_all(&bytes).is_err() {
            break;
        }
    }
    let _or_closed = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    let _ended = asking.join();
}

fn message(from: &mut &TcpStream) -> Option<Message> {
    let mut head = [0; 5];
    from.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut whole = head.to_vec();
    whole.resize(1 + usize::try_from(length).ok()?, 0);
    from.read_exact(&mut whole[5..]).ok()?;
    Some(whole)
}

/// A message of a server, made up.
#[must_use]
pub fn made_up(tag: u8, body: &[u8]) -> Message {
    let length = u32::try_from(body.len() + 4).expect("it fits");
    [&[tag], &length.to_be_bytes()[..], body].concat()
}
