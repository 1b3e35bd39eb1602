//! The stream over a real connection, driven as hyper drives it.

use super::*;
use std::future::poll_fn;
use std::io::{ErrorKind, Write};
use std::pin::Pin;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, client) = tokio::join!(listener.accept(), client);
    (Stream::new(accepted.unwrap().0, Arc::default()), client.unwrap())
}

fn file(bytes: &[u8]) -> Arc<File> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

fn content(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

/// All of it, as hyper writes: everything that is left in each call.
async fn write(stream: &mut Stream, parts: &[Bytes]) -> io::Result<()> {
    let mut parts: VecDeque<Bytes> = parts.iter().cloned().collect();
    while !parts.is_empty() {
        let mut count = {
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            poll_fn(|cx| Pin::new(&mut *stream).poll_write_vectored(cx, &slices)).await?
        };
        assert!(count > 0);
        while let Some(first) = parts.front_mut() {
            let gone = count.min(first.len());
            let _ = first.split_to(gone);
            count -= gone;
            if !first.is_empty() {
                break;
            }
            parts.pop_front();
        }
    }
    Ok(())
}

/// Several files and bytes between them, through a socket that is full again and again.
#[tokio::test]
async fn where_placeholders_stand_files_are_sent() {
    let (mut stream, mut client) = pair().await;
    let (lane, runtime) = (stream.lane(), Handle::current());
    let (one, two) = (content(30 << 20), content(70_000));
    let files = [file(&one), file(&two)];
    let sends = async {
        for at in (0..one.len()).step_by(PIECE_BYTES) {
            let count = PIECE_BYTES.min(one.len() - at);
            let mut parts = vec![lane.hand_over(&files[0], at as u64, count, &runtime)];
            if at == 0 {
                parts.insert(0, Bytes::from_static(b"head\r\n\r\n"));
            }
            write(&mut stream, &parts).await.unwrap();
        }
        let second = lane.hand_over(&files[1], 1_000, 60_000, &runtime);
        let third = lane.hand_over(&files[1], 0, 1, &runtime);
        let between = Bytes::from_static(b"between");
        write(&mut stream, &[between.clone(), second, between, third]).await.unwrap();
        stream.write_all(b"end").await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let mut all = Vec::new();
    let reads = async {
        tokio::task::yield_now().await;
        client.read_to_end(&mut all).await.unwrap();
    };
    tokio::join!(sends, reads);
    let wanted = [b"head\r\n\r\n", &one[..], b"between", &two[1_000..61_000], b"between", &two[..1], b"end"];
    assert!(all == wanted.concat(), "{} bytes", all.len());
    assert_eq!(lane.bytes(), 0);
    assert!(stream.moved.load(std::sync::atomic::Ordering::Relaxed) > 120, "more often than pieces");
}

/// As a later hyper might.
#[tokio::test]
async fn a_placeholder_that_was_copied_ends_the_connection_and_is_not_sent() {
    let (mut stream, mut client) = pair().await;
    let lane = stream.lane();
    let placeholder = lane.hand_over(&file(b"secret"), 0, 6, &Handle::current());
    let copied = Bytes::from([b"head", &placeholder[..]].concat());
    let error = write(&mut stream, &[copied]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    // And one that nobody answers for.
    let (mut other, _client) = pair().await;
    let error = write(&mut other, &[placeholder]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    drop(stream);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"");
}

#[tokio::test]
async fn a_file_that_became_shorter_ends_the_connection() {
    let (mut stream, _client) = pair().await;
    let (lane, file) = (stream.lane(), file(&content(1_000)));
    let placeholder = lane.hand_over(&file, 0, 1_000, &Handle::current());
    file.set_len(400).unwrap();
    let error = write(&mut stream, &[placeholder]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

/// Whether the system forgets when it is asked to is its own affair; it mostly does.
#[tokio::test]
async fn what_the_system_has_forgotten_is_fetched_by_whoever_may_wait() {
    let (mut stream, mut client) = pair().await;
    let (lane, long) = (stream.lane(), content(PIECE_BYTES));
    let file = file(&long);
    assert!(is_at_hand(&file, 0, PIECE_BYTES) && is_at_hand(&file, 5, 0));
    assert!(!is_at_hand(&file, 0, PIECE_BYTES + 1), "there is no more");
    file.sync_all().unwrap();
    rustix::fs::fadvise(&*file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    stream.has_waited = true;
    let was_forgotten = !is_at_hand(&file, 0, PIECE_BYTES);
    let placeholder = lane.hand_over(&file, 0, PIECE_BYTES, &Handle::current());
    let mut got = vec![0; PIECE_BYTES];
    let parts = [placeholder];
    let sends = write(&mut stream, &parts);
    let (sent, read) = tokio::join!(sends, client.read_exact(&mut got));
    assert!(sent.is_ok() && read.is_ok() && got == long);
    assert!(is_at_hand(&file, 0, PIECE_BYTES), "forgotten: {was_forgotten}");
}
