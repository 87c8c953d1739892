#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use sluice_wire::{HungUp, Sight};

use super::*;
use crate::frame::{Message, Size};
use crate::queue::{FREE, MEMORY, REQUESTS};

fn data(fill: u8, length: usize) -> Item {
    Item { frame: Frame::data(&vec![fill; length]), reply: None }
}

async fn next(pair: &Pair, side: Side) -> Option<Frame> {
    poll_fn(|cx| pair.poll_next(side, cx)).await.unwrap().map(|item| item.frame)
}

fn bytes(frame: Option<Frame>) -> Bytes {
    let Some(Frame::Data(payload)) = frame else { panic!("{frame:?}") };
    payload.bytes()
}

#[tokio::test]
async fn what_does_not_fit_into_memory_comes_back_in_order() {
    let pair = Pair::default();
    for round in 0..2_u8 {
        for index in 0..200_u8 {
            pair.push(Side::Client, data(index.wrapping_add(round), 65_536));
        }
        assert!(pair.lock().client.waiting_in_memory() <= MEMORY);
        assert!(pair.lock().client.waiting_in_file() > 0);
        let mut back = BytesMut::new();
        while back.len() < 200 * 65_536 {
            back.extend_from_slice(&bytes(next(&pair, Side::Client).await));
        }
        let expected: Vec<u8> = (0..200_u8).flat_map(|index| vec![index.wrapping_add(round); 65_536]).collect();
        assert!(back == expected, "round {round}");
        assert_eq!(pair.lock().client.file_bytes(), 0, "the file is gone when it is read");
    }
    pair.end(Side::Client);
    assert!(next(&pair, Side::Client).await.is_none());
}

#[tokio::test]
async fn a_file_that_is_never_empty_does_not_grow_with_what_passes_through_it() {
    let pair = Pair::default();
    let most = 16 << 20;
    let (mut sent, mut largest) = (0_u64, 0);
    while sent < CLIENT_FILE {
        pair.push(Side::Client, data(u8::try_from(sent >> 16 & 0xff).unwrap(), 65_536));
        sent += 65_536;
        while pair.lock().client.waiting_in_file() > most {
            next(&pair, Side::Client).await.unwrap();
        }
        largest = largest.max(pair.lock().client.file_bytes());
    }
    assert!((most..most + (4 << 20)).contains(&largest), "{largest}");
    assert_eq!(bytes(next(&pair, Side::Client).await).len(), 65_536);
}

#[tokio::test]
async fn a_server_waits_for_a_client_that_does_not_read() {
    let pair = Arc::new(Pair::default());
    while pair.server_room().now_or_never().is_some() {
        pair.push(Side::Server, data(1, 65_536));
    }
    assert!(pair.lock().server.waiting_in_memory() < SERVER_MEMORY + 2 * 65_536);
    let waiting = tokio::spawn({
        let pair = Arc::clone(&pair);
        async move { pair.server_room().await }
    });
    while pair.lock().server.waiting_in_memory() >= SERVER_MEMORY {
        next(&pair, Side::Server).await.unwrap();
    }
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_never_waits_while_the_client_does_and_is_stopped_at_a_limit() {
    let pair = Arc::new(Pair::default());
    while pair.lock().client.waiting_in_file() < CLIENT_FILE {
        pair.push(Side::Client, data(1, 1 << 20));
    }
    let waiting = tokio::spawn({
        let pair = Arc::clone(&pair);
        async move { pair.client_room(&Stalls::default()).await }
    });
    while !pair.kin.is_waited_for() {
        tokio::task::yield_now().await;
    }
    let stuck = loop {
        match pair.server_room().now_or_never() {
            Some(Ok(())) => pair.push(Side::Server, data(2, 1 << 20)),
            Some(Err(stuck)) => break stuck,
            None => panic!("both wait"),
        }
    };
    assert!(stuck.to_string().contains("neither side"));
    assert!(pair.lock().server.waiting_in_memory() <= SERVER_MOST + (2 << 20));
    // The server's program ends: what the client still sends goes nowhere, and nobody waits for it.
    pair.end(Side::Server);
    waiting.await.unwrap();
}

#[tokio::test]
async fn requests_that_nobody_takes_have_an_end() {
    let pair = Pair::default();
    let signal = || Item { frame: Message::Signal("INT".into()).into(), reply: None };
    for _ in 0..100_000 {
        pair.push(Side::Client, signal());
    }
    assert!(pair.lock().client.waiting_in_memory() <= MEMORY + REQUESTS);
    assert!(pair.has_ended(Side::Client), "nothing is lost in the middle of what a client says");
    assert!(next(&pair, Side::Client).await.is_some(), "what came before is still there");
}

#[tokio::test]
async fn a_client_is_slowed_down_before_it_has_to_wait() {
    let pair = Pair::default();
    while pair.client_room(&Stalls::default()).now_or_never().is_some() {
        pair.push(Side::Client, data(1, 1 << 20));
    }
    let waiting = pair.lock().client.waiting_in_file();
    assert!((CLIENT_PACED..CLIENT_FILE).contains(&waiting), "{waiting}");
    // It goes on by itself, although nobody has taken anything.
    pair.client_room(&Stalls::default()).await;
    assert!(!pair.kin.is_waited_for());
}

#[tokio::test]
async fn channels_of_one_connection_are_kept_in_files_and_never_wait_while_a_client_does() {
    let first = Pair::default();
    let (second, third) = (Arc::new(first.beside()), first.beside());
    while third.server_room().now_or_never().is_some() {
        third.push(Side::Server, data(2, 1 << 20));
    }
    // Far more than a connection of one channel's own keeps: the others go on meanwhile.
    assert!(third.lock().server.waiting_in_file() >= CLIENT_FILE);
    assert!(third.lock().server.waiting_in_memory() <= MEMORY);
    assert!(first.server_room().now_or_never().is_some());
    while second.lock().client.waiting_in_file() < CLIENT_FILE {
        second.push(Side::Client, data(1, 1 << 20));
    }
    let waiting = tokio::spawn({
        let second = Arc::clone(&second);
        async move { second.client_room(&Stalls::default()).await }
    });
    while !first.kin.is_waited_for() {
        tokio::task::yield_now().await;
    }
    assert!(third.server_room().now_or_never().is_some(), "both wait");
    second.end(Side::Server);
    waiting.await.unwrap();
    assert!(third.server_room().now_or_never().is_none());
    // What was kept comes back as it was sent.
    assert_eq!(bytes(next(&third, Side::Server).await), vec![2; 1 << 20]);
}

/// Has a channel's client send until it has to wait; how much it sent.
async fn fill(pair: &Pair) -> u64 {
    let mut sent = 0;
    while timeout(LOOK / 2, pair.client_room(&Stalls::default())).await.is_ok() {
        pair.push(Side::Client, data(1, 65_536));
        sent += 65_536;
    }
    sent
}

#[tokio::test]
async fn behind_a_client_that_waits_nothing_is_seen() {
    let shelf = Shelf::with(0, 0);
    let looked = Arc::clone(shelf.stalls()).hide(HungUp::new(|| Sight::There));
    let gone = Arc::clone(shelf.stalls()).hide(HungUp::new(|| Sight::Gone));
    let pair = Arc::new(Pair::new(shelf.clone()));
    assert_eq!(looked.look(), Sight::There);
    pair.push(Side::Client, data(1, 65_536));
    let waiting = tokio::spawn({
        let (pair, shelf) = (Arc::clone(&pair), shelf.of("user:ann"));
        async move { pair.client_room(shelf.stalls()).await }
    });
    while looked.look() != Sight::Hidden {
        tokio::task::yield_now().await;
    }
    assert_eq!(gone.look(), Sight::Gone);
    next(&pair, Side::Client).await.unwrap();
    waiting.await.unwrap();
    assert_eq!(looked.look(), Sight::There);
}

#[tokio::test(start_paused = true)]
async fn who_sends_without_end_takes_no_room_of_others() {
    let (memory, room) = (16 << 20, 64 << 20);
    let shelf = Shelf::with(memory, room);
    let greedy: Vec<_> = (0..20).map(|_| Pair::new(shelf.clone())).collect();
    for pair in &greedy {
        fill(pair).await;
        assert!(!pair.has_ended(Side::Client), "nothing is lost");
    }
    assert_eq!(shelf.taken_bytes(), (memory / 2, room / 2));
    let other = Arc::new(Pair::new(shelf.of("user:bob")));
    assert!(fill(&other).await > room / 8);
    // What waits for room gets it once others leave some.
    let waiting = tokio::spawn({
        let other = Arc::clone(&other);
        async move { other.client_room(&Stalls::default()).await }
    });
    tokio::task::yield_now().await;
    drop(greedy);
    waiting.await.unwrap();
    assert!(fill(&other).await > 0);
    let taken = shelf.taken_bytes();
    assert!(taken.0 <= memory / 2 && taken.1 <= room / 2, "{taken:?}");
    // Nothing is kept for what was read.
    while timeout(LOOK / 2, next(&other, Side::Client)).await.is_ok() {}
    assert_eq!(shelf.taken_bytes(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_takes_no_memory_of_others() {
    let room = 16 << 20;
    let shelf = Shelf::with(room, 0);
    let mut greedy: Vec<_> = (0..40).map(|_| Pair::new(shelf.clone())).collect();
    greedy.push(Pair::new(shelf.of("user:bob")));
    let mut waiting = Vec::new();
    for pair in &greedy {
        while timeout(LOOK / 2, pair.server_room()).await.is_ok() {
            pair.push(Side::Server, data(1, 65_536));
        }
        waiting.push(pair.lock().server.waiting_in_memory());
    }
    assert!(waiting.iter().all(|&bytes| bytes >= FREE), "each has some: {waiting:?}");
    assert!(waiting.first() >= Some(&SERVER_MEMORY), "{waiting:?}");
    let all = waiting.iter().take(40).sum::<usize>() as u64;
    assert!(all <= room / 2 + 40 * (FREE + 70_000) as u64, "{all}");
    assert!(waiting.last() > Some(&(SERVER_MEMORY / 2)), "{waiting:?}");
    drop(greedy);
    assert_eq!(shelf.taken_bytes(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_sends_without_end_on_a_shared_connection_takes_no_more() {
    let shelf = Shelf::with(0, 16 << 20);
    let first = Pair::new(shelf.clone());
    let arrived = first.beside();
    while timeout(LOOK / 2, arrived.server_room()).await.is_ok() {
        arrived.push(Side::Server, data(1, 65_536));
    }
    assert_eq!(shelf.taken_bytes(), (0, 8 << 20));
    let client = fill(&first).await;
    assert!((1..16 << 20).contains(&client), "{client}");
    // Neither has room: the host, whose connection would stand still for ever, is given up.
    let waits = first.kin.wait();
    assert!(arrived.server_room().await.is_err());
    drop(waits);
    assert!(!arrived.has_ended(Side::Server));
}

#[tokio::test]
async fn a_client_that_leaves_is_known_to_before_what_it_sent_is_read() {
    let pair = Pair::default();
    pair.push(Side::Client, data(1, 8 << 20));
    assert!(!pair.has_left());
    pair.leave();
    assert!(pair.has_left() && pair.has_ended(Side::Client));
    assert_eq!(bytes(next(&pair, Side::Client).await).len(), 8 << 20);
    assert!(next(&pair, Side::Client).await.is_none());
}

/// Counts how often it was asked to take something back.
#[derive(Default)]
struct Count(AtomicUsize);

impl Interrupt for Count {
    fn withdraw(&self) -> sluice_wire::Interrupted {
        self.0.fetch_add(1, Ordering::SeqCst);
        sluice_wire::Interrupted::Nothing
    }
}

#[tokio::test]
async fn ctrl_c_counts_when_it_comes_and_only_where_somebody_types() {
    let (pair, count) = (Pair::default(), Arc::new(Count::default()));
    pair.interrupt_by_keyboard(Arc::clone(&count) as _);
    let size = Size { columns: 80, rows: 24, width: 0, height: 0 };
    let terminal = Message::Pty { term: "xterm".into(), size, modes: Vec::new() };
    for (message, expected) in [(None, 0), (Some(terminal), 1), (Some(Message::Subsystem("sftp".into())), 1)] {
        if let Some(message) = message {
            pair.push(Side::Client, Item { frame: message.into(), reply: None });
        }
        pair.push(Side::Client, data(1, 8 << 20));
        pair.push(Side::Client, data(INTERRUPT, 1));
        assert_eq!(count.0.load(Ordering::SeqCst), expected);
    }
}
