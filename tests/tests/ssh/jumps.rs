//! Hosts that are reached through a connection to the broker (`ssh -J`), and how many.

use sluice_tests::run::Running;
use sluice_tests::wait::{SOON, until};

use crate::stand::{OPERATORS, Stand};

/// Opens so many connections to the target in one to the broker, one after the other, and says of each whether it is
/// there; then of one more once a line was said, which ends the first of them.
fn jumping(stand: &Stand, many: usize) -> Running {
    let text = format!(
        "x -M -N -f broker
        again() {{ ssh -F \"$config\" -o ProxyCommand=false -W web.sluice:22 broker <&\"$1\" >banner.$2 2>/dev/null & }}
        heard() {{ while kill -0 $! 2>/dev/null && ! [ -s banner.$1 ]; do read -rt 0.05 <> wait.fifo || true; done
            [ -s banner.$1 ] && echo up || echo refused; }}
        mkfifo wait.fifo
        for each in $(seq 1 {many}); do
            mkfifo in.$each; exec {{to}}<>in.$each; again $to $each; [ $each -ne 1 ] || first=$!; heard $each
        done
        echo over; read -r _; kill $first; wait $first
        until again $to last; [ \"$(heard last)\" = up ]; do :; done; echo again
        x -O exit broker 2>/dev/null; kill $(jobs -p) 2>/dev/null"
    );
    Running::start(&mut stand.script(&text))
}

/// What became of each.
fn became(jumping: &Running) -> (usize, usize) {
    let said = jumping.hear("over\n");
    (said.matches("up\n").count(), said.matches("refused\n").count())
}

#[test]
fn hosts_that_are_reached_through_a_connection_are_channels_of_it() {
    let stand = Stand::open();
    let mut jumping = jumping(&stand, 12);
    assert_eq!(became(&jumping), (10, 2));
    // Whoever has left makes room for another one.
    jumping.say("\n");
    let _again = jumping.hear("again\n");
    assert_eq!(stand.server.connections(), 0);
}

#[test]
fn whoever_is_reaching_a_host_and_has_not_signed_in_there_is_a_stranger() {
    let few = |setup: sluice_tests::broker::Setup| setup.more("limits: { unauthenticated_per_address: 4 }");
    let stand = Stand::with(OPERATORS, |host| host, few);
    let mut jumping = jumping(&stand, 6);
    // The connection that they come through has no session, and is one itself.
    assert_eq!(became(&jumping), (3, 3));
    jumping.say("\n");
    let _again = jumping.hear("again\n");
    until(SOON, "the strangers to leave", || {
        stand.broker.log().contains("through another one was refused").then_some(())
    });
}
