//! A worker process for tests and measurements: `thumbnail-test-worker` works as the server's does, `thumbnail-test-worker HOW` misbehaves. Further
//! words say whose it is.

use chaski_media::thumbnail::Limits;
use chaski_media::thumbnail::picture::{Made, Unfit, make};
use chaski_media::thumbnail::worker::{Picture, run, serve};
use rustix::net::{RecvFlags, SendFlags};
use std::io::{BufReader, Read, Seek};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1) {
        None => run(),
        Some(how) if how == "well" => run(),
        // Fails before it is ready.
        Some(how) if how == "broken" => ExitCode::FAILURE,
        Some(how) => {
            serve(move |picture, length, width, limits| misbehave(&how, picture, length, width, limits))
        }
    }
}

/// What a picture could make a worker do. Only what begins with `!` does.
fn misbehave(
    how: &str,
    picture: &mut Picture,
    length: u64,
    width: u32,
    limits: &Limits,
) -> Result<Made, Unfit> {
    let mut first = [0];
    picture.read_exact(&mut first).map_err(|_| Unfit::NotAPicture)?;
    picture.rewind().map_err(|_| Unfit::NotAPicture)?;
    if first != *b"!" {
        return make(BufReader::new(picture), length, width, limits);
    }
    match how {
        "die" => std::process::abort(),
        "panic" => panic!("a decoder's mistake"),
        "leave" => std::process::exit(0),
        // Takes all the time there is.
        "compute" => loop {
            std::hint::spin_loop();
        },
        // Waits for what never comes, without any.
        "wait" => {
            let mut nothing = rustix::net::RecvAncillaryBuffer::default();
            let mut byte = [0];
            let slices = &mut [std::io::IoSliceMut::new(&mut byte)];
            let _ = rustix::net::recvmsg(std::io::stdin(), slices, &mut nothing, RecvFlags::empty());
        }
        "nonsense" => {
            let _ = rustix::net::send(std::io::stdin(), &[0xee; 64], SendFlags::NOSIGNAL);
        }
        "greedy" => {
            let mut heap = Vec::new();
            // Until the limit: what can't be had ends the process.
            while heap.len() < 4096 {
                heap.push(vec![1u8; 1 << 20]);
            }
            return Ok(said("it had 4 GiB"));
        }
        "escape" => return Ok(said(&escapes())),
        _ => {}
    }
    Err(Unfit::NotAPicture)
}

/// What begins like a JPEG and says something.
fn said(text: &str) -> Made {
    let bytes = [&[0xff, 0xd8, 0xff], text.as_bytes()].concat();
    Made { encoding: chaski_media::thumbnail::Encoding::Jpeg, bytes }
}

/// The ways out that are open.
fn escapes() -> String {
    let ways = [
        ("open", std::fs::File::open("/etc/passwd").is_ok()),
        ("list", std::fs::read_dir("/proc/self/fd").is_ok()),
        ("write", std::fs::OpenOptions::new().write(true).open("/dev/null").is_ok()),
        ("connect", std::net::UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("start", std::process::Command::new("/bin/true").status().is_ok()),
        ("thread", std::thread::Builder::new().spawn(|| {}).is_ok()),
        ("environment", std::env::vars_os().next().is_some()),
    ];
    ways.iter().filter(|(_, is_open)| *is_open).map(|(way, _)| *way).collect::<Vec<_>>().join(" ")
}
