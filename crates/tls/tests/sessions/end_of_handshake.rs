//! What comes in one piece with the end of the handshake, where the session passes from rustls to our record layer.

use super::*;

/// What rustls' client says with the end of its handshake, in one piece.
fn last_flight(
    case: Case,
    client: &mut ClientConnection,
    say: impl FnOnce(&mut ClientConnection),
) -> (End, Vec<u8>) {
    let mut config = case.server();
    config.send_tls13_tickets = 0;
    let mut ours = End::new(Session::server(Arc::new(config)).unwrap(), Vec::new());
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    ours.feed(&std::mem::take(&mut wire)).unwrap();
    client.read_tls(&mut &std::mem::take(&mut ours.wire)[..]).unwrap();
    client.process_new_packets().unwrap();
    say(client);
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    (ours, wire)
}

#[test]
fn keys_may_be_changed_with_the_end_of_the_handshake() {
    // Without tickets nothing makes rustls stop where the handshake does.
    for case in Case::all().into_iter().filter(|case| case.version.version == ProtocolVersion::TLSv1_3) {
        for cut in [1, 1 << 14] {
            let mut client = ClientConnection::new(Arc::new(case.client()), name()).unwrap();
            let (mut server, wire) = last_flight(case, &mut client, |client| {
                client.refresh_traffic_keys().unwrap();
                client.writer().write_all(b"under new keys").unwrap();
            });
            for piece in wire.chunks(cut) {
                server.feed(piece).unwrap();
            }
            assert!(server.seen.established);
            assert_eq!(server.said(), b"under new keys");
            server.say(b"under ours");
            carry_buffered(&mut server, &mut client, 1 << 14).unwrap();
            assert_eq!(read_buffered(&mut client), b"under ours");
            client.refresh_traffic_keys().unwrap();
            client.writer().write_all(b"and newer").unwrap();
            carry_buffered(&mut server, &mut client, 1 << 14).unwrap();
            assert_eq!(server.said(), b"and newer");
        }
    }
}

#[test]
fn closing_may_come_with_the_end_of_the_handshake() {
    for case in Case::all() {
        // With TLS 1.2 the client has the last word only when it resumes.
        let (config, mut last) = (Arc::new(case.client()), None);
        let server = Arc::new(case.server());
        for _ in 0..2 {
            let mut theirs = ClientConnection::new(config.clone(), name()).unwrap();
            let mut ours = End::new(Session::server(server.clone()).unwrap(), Vec::new());
            let mut wire = Vec::new();
            while theirs.is_handshaking() {
                while theirs.wants_write() {
                    theirs.write_tls(&mut wire).unwrap();
                }
                ours.feed(&std::mem::take(&mut wire)).unwrap();
                theirs.read_tls(&mut &std::mem::take(&mut ours.wire)[..]).unwrap();
                theirs.process_new_packets().unwrap();
            }
            theirs.writer().write_all(b"bye").unwrap();
            theirs.send_close_notify();
            while theirs.wants_write() {
                theirs.write_tls(&mut wire).unwrap();
            }
            ours.feed(&wire).unwrap();
            assert_eq!(ours.said(), b"bye");
            assert!(ours.seen.established && ours.seen.ended);
            // Tickets.
            theirs.read_tls(&mut &ours.wire[..]).unwrap();
            theirs.process_new_packets().unwrap();
            last = Some(ours);
        }
        assert!(last.unwrap().session.is_resumed());
    }
    let mut client = ClientConnection::new(Arc::new(Case::SMALL.client()), name()).unwrap();
    let (mut server, wire) = last_flight(Case::SMALL, &mut client, |client| client.send_close_notify());
    server.feed(&wire).unwrap();
    assert!(server.seen.established && server.seen.ended);
}
