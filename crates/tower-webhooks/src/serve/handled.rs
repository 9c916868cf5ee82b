use std::io::Write as _;

use crate::DoneJob;

/// Prints `handled <type> <id>` on stdout, one line for each job that is done:
/// a hook for [`on_done`](crate::WebhooksBuilder::on_done), so that scripts see
/// what a receiver does. Control characters are escaped, since the sender
/// chose the text; a closed stdout is no error.
pub fn print_handled(job: &DoneJob) {
    // Nobody reads: nothing to be done about it.
    let _ = std::io::stdout().write_all(line(job).as_bytes());
}

fn line(job: &DoneJob) -> String {
    let mut line = String::from("handled ");
    push_escaped(&mut line, job.event_type.as_deref().unwrap_or_default());
    line.push(' ');
    push_escaped(&mut line, &job.event_id);
    line.push('\n');
    line
}

fn push_escaped(line: &mut String, text: &str) {
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower_webhooks_core::Text;
    use tower_webhooks_inbox::EventSeq;

    use super::*;

    fn done(event_type: &str, event_id: &str) -> DoneJob {
        DoneJob {
            endpoint: Text::from("shop"),
            tenant: None,
            handler: Text::from("ship"),
            seq: EventSeq(1),
            event_type: Some(Text::from(event_type)),
            event_id: Text::from(event_id),
            attempt: 1,
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn a_handled_event_is_one_line() {
        assert_eq!(
            line(&done("payment.confirmed", "evt_1")),
            "handled payment.confirmed evt_1\n"
        );
    }

    #[test]
    fn a_sender_cannot_forge_a_line_or_move_the_cursor() {
        assert_eq!(
            line(&done("a\nhandled b", "1\r\u{1b}[2J\u{9b}é\"")),
            "handled a\\nhandled b 1\\r\\u{1b}[2J\\u{9b}é\"\n"
        );
    }
}
