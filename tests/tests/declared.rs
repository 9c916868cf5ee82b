//! A declared length is believed only where it is too large: no memory is
//! reserved from it. A file of its own, because it counts allocations.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use tokio::runtime::{Builder, Runtime};
use tower_webhooks_tests::{Acme, Form, Server, head_of, soon};

/// What a connection and a refusal may take in all; most of it are buffers of
/// hyper's.
const MODEST_BYTES: u64 = 64 * 1024;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_declared_length_of_32_tib_allocates_nothing() {
    let runtime = runtime();
    for form in Form::BOTH {
        let (_acme, server, head) = runtime.block_on(serve(form));
        let unsigned = "POST /acme HTTP/1.1\r\nhost: test\r\n";
        for (head, status) in [(unsigned, "401"), (&head, "413")] {
            let request = format!("{head}content-length: 35184372088832\r\n\r\n");
            let mut wire = runtime.block_on(server.connect());
            let mut answer = String::new();
            let allocated = allocation_counter::measure(|| {
                answer = runtime.block_on(async {
                    wire.send(request.as_bytes()).await;
                    wire.head().await
                });
            });
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{form:?}: {answer}"
            );
            assert!(
                allocated.bytes_total < MODEST_BYTES,
                "{form:?}: {allocated:?}"
            );
        }
    }
}

#[test]
fn a_length_within_the_limit_reserves_nothing_before_the_bytes_come() {
    let runtime = runtime();
    for form in Form::BOTH {
        let (acme, server, head) = runtime.block_on(serve(form));
        let request = format!("{head}content-length: 1048576\r\n\r\nthe first bytes");
        let mut wire = runtime.block_on(server.connect());
        let allocated = allocation_counter::measure(|| {
            runtime.block_on(soon(async {
                wire.send(request.as_bytes()).await;
                while acme.webhooks.bytes_in_flight() == 0 {
                    tokio::task::yield_now().await;
                }
            }));
        });
        assert_eq!(
            acme.webhooks.bytes_in_flight(),
            "the first bytes".len(),
            "{form:?}"
        );
        assert!(
            allocated.bytes_total < MODEST_BYTES,
            "{form:?}: {allocated:?}"
        );
    }
}

async fn serve(form: Form) -> (Acme, Server, String) {
    let acme = Acme::start(form).await;
    let server = Server::start(acme.app.clone()).await;
    let (head, _) = head_of(acme.request("order.paid", "evt_1")).await;
    (acme, server, head)
}
