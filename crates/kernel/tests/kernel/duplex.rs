//! Full duplex: no deadlock, and bounded memory, whoever is slow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sluice_wire::{Input, Machine, Outbox, Violation, Wants};
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;

use crate::harness::{End, Setup, World, patiently};
use crate::toy::{LINE_LIMIT, Line, Toy};

/// Rows are read in runs of at most about this many bytes.
const RUN_BYTES: usize = 4096 + LINE_LIMIT;

/// Answers every request with rows of some bytes altogether.
async fn serve(mut server: End, rows: usize) {
    let answer = format!("row {}\n", "x".repeat(995)).repeat(rows) + "ok\n";
    let mut unread = Vec::new();
    let mut asked = 0_usize;
    while server.stream.read_buf(&mut unread).await.unwrap() > 0 {
        asked += unread.iter().filter(|byte| **byte == b'\n').count();
        unread.clear();
        while asked > 0 {
            server.say(&answer).await;
            asked -= 1;
        }
    }
}

#[tokio::test]
async fn ten_thousand_requests_before_the_first_answer_is_read() {
    const REQUESTS: usize = 10_000;
    const ROWS: usize = 4;
    // What the client sends fits between it and the broker; what comes back does not fit anywhere.
    let world = World::new(Setup { room: REQUESTS * 16, ..Setup::default() });
    let mut session = world.carry_toy().await;
    let serving = tokio::spawn(serve(session.server, ROWS));
    session.client.say(&"ask apple\n".repeat(REQUESTS)).await;
    let mut client = session.client;
    let reading = tokio::spawn(async move {
        for _ in 0..REQUESTS {
            for _ in 0..ROWS {
                assert!(client.line().await.starts_with("row x"));
            }
            client.expect("ok").await;
        }
        client.hang_up().await;
        client.expect("").await;
    });
    patiently(reading).await.unwrap();
    patiently(session.carrying).await.unwrap().unwrap();
    patiently(serving).await.unwrap();
    let high_water = Setup::default().limits.high_water_bytes;
    let most = session.to_client.bytes();
    assert!(most > high_water / 2, "the client read too early to tell: {most}");
    assert!(most <= high_water + RUN_BYTES, "{most}");
    assert_eq!(world.log.closing().operations, 10_000);
}

#[tokio::test]
async fn a_slow_server_holds_the_client_back() {
    let mut setup = Setup { room: 256, ..Setup::default() };
    setup.limits.high_water_bytes = 2_000;
    let world = World::new(setup);
    let session = world.carry_toy().await;
    let (mut client, mut server) = (session.client, session.server);
    let text = format!("put apple {}\n", "x".repeat(900));
    let writing = tokio::spawn(async move {
        for _ in 0..200 {
            client.say(&text).await;
        }
        for _ in 0..200 {
            client.expect("ok").await;
        }
        client.hang_up().await;
        client.expect("").await;
    });
    for _ in 0..200 {
        assert!(server.line().await.starts_with("put apple x"));
        server.say("ok\n").await;
    }
    patiently(writing).await.unwrap();
    patiently(session.carrying).await.unwrap().unwrap();
    assert!(session.to_server.bytes() <= 2_000 + LINE_LIMIT, "{}", session.to_server.bytes());
    world.log.check_order();
}

#[tokio::test]
async fn a_result_without_an_end_does_not_keep_the_client_from_being_heard() {
    let world = World::new(Setup { room: 16 * 1024, ..Setup::default() });
    let mut session = world.carry_toy().await;
    session.client.say("ask apple\n").await;
    session.server.expect("ask apple").await;
    let (mut from_broker, mut to_broker) = tokio::io::split(session.server.stream);
    let (mut from_kernel, mut to_kernel) = tokio::io::split(session.client.stream);
    let rows = format!("row {}\n", "x".repeat(500)).repeat(64);
    let streaming = tokio::spawn(async move {
        while tokio::io::AsyncWriteExt::write_all(&mut to_broker, rows.as_bytes()).await.is_ok() {}
    });
    let reading = tokio::spawn(async move {
        let mut sink = vec![0; 64 * 1024];
        let mut count = 0_usize;
        while let Ok(read @ 1..) = from_kernel.read(&mut sink).await {
            count += read;
        }
        count
    });
    tokio::io::AsyncWriteExt::write_all(&mut to_kernel, b"ping\n").await.unwrap();
    let mut heard = [0; 5];
    patiently(from_broker.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"ping\n");
    session.carrying.abort();
    streaming.abort();
    reading.abort();
}

#[tokio::test]
async fn both_sides_may_send_at_once_whatever_fits_between_them() {
    for room in [1, 2, 7, 64] {
        let world = World::new(Setup { room, ..Setup::default() });
        let session = world.carry_toy().await;
        let (mut client, server) = (session.client, session.server);
        let serving = tokio::spawn(serve(server, 2));
        let (mut reads, mut writes) = tokio::io::split(client.stream);
        let writing = tokio::spawn(async move {
            let requests = "ask apple\nask pear\n".repeat(10);
            tokio::io::AsyncWriteExt::write_all(&mut writes, requests.as_bytes()).await.unwrap();
            writes
        });
        let mut read = vec![0; 20 * (2 * 1000 + 3)];
        patiently(reads.read_exact(&mut read)).await.unwrap();
        assert!(read.ends_with(b"x\nok\n"));
        client.stream = reads.unsplit(patiently(writing).await.unwrap());
        client.hang_up().await;
        client.expect("").await;
        patiently(session.carrying).await.unwrap().unwrap();
        patiently(serving).await.unwrap();
        world.log.check_order();
    }
}

/// A toy that looks long at what a server sends: until another task has had its turn.
struct Diligent {
    toy: Toy,
    begun: Option<oneshot::Sender<()>>,
    others: mpsc::Receiver<()>,
}

impl Machine for Diligent {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        if matches!(input, Input::FromServer(_)) {
            self.begun.take().unwrap().send(()).unwrap();
            let waited = self.others.recv_timeout(Duration::from_secs(10));
            waited.map_err(|_| Violation::server("nobody else had a turn"))?;
        }
        self.toy.handle(input, out)
    }

    fn wants(&self) -> Wants {
        self.toy.wants()
    }

    fn weight(&self, input: &Input<Line>) -> usize {
        if matches!(input, Input::FromServer(_)) { 1 << 20 } else { 0 }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn others_go_on_while_a_machine_looks_at_much() {
    let (begun, begins) = oneshot::channel();
    let (turn, others) = mpsc::channel();
    let world = World::new(Setup::default());
    let mut session = world.carry(Diligent { toy: Toy::default(), begun: Some(begun), others }).await;
    let other = tokio::spawn(async move {
        begins.await.unwrap();
        turn.send(()).unwrap();
    });
    session.server.say("news of the day\n").await;
    session.client.expect("news of the day").await;
    other.await.unwrap();
}

/// Looks at much in every line, and notices whether others had a turn since the last one.
struct Plodding {
    toy: Toy,
    turns: Arc<AtomicU64>,
    last: u64,
    starved: Arc<AtomicU64>,
}

impl Machine for Plodding {
    type Frame = Line;

    fn handle(&mut self, input: Input<Line>, out: &mut Outbox<Line>) -> Result<(), Violation> {
        if matches!(input, Input::FromServer(_)) {
            let now = self.turns.load(Ordering::SeqCst);
            let starved = u64::from(now == std::mem::replace(&mut self.last, now));
            let _before = self.starved.fetch_add(starved, Ordering::SeqCst);
        }
        self.toy.handle(input, out)
    }

    fn wants(&self) -> Wants {
        self.toy.wants()
    }

    /// As much as a turn has, and not so much that it is done elsewhere.
    fn weight(&self, input: &Input<Line>) -> usize {
        if matches!(input, Input::FromServer(_)) { 64 << 10 } else { 0 }
    }
}

#[tokio::test]
async fn much_that_comes_in_little_pieces_starves_nobody() {
    let (turns, starved) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let world = World::new(Setup::default());
    let machine = Plodding { toy: Toy::default(), turns: Arc::clone(&turns), last: 0, starved: Arc::clone(&starved) };
    let mut session = world.carry(machine).await;
    let others = tokio::spawn(async move {
        loop {
            let _before = turns.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    session.server.say(&"news of the day\n".repeat(200)).await;
    for _ in 0..200 {
        session.client.expect("news of the day").await;
    }
    others.abort();
    // Two of them are a turn, and the runtime gives others every second one.
    let starved = starved.load(Ordering::SeqCst);
    assert!(starved <= 160, "{starved} of 200 pieces came without a turn of others");
}
