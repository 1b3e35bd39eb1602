//! A bucket in this process (s3s-fs), and how one is reached. For the suite of backends and that of transfers.

use chaski_media::objects::s3::Bucket;
use hyper_util::rt::TokioIo;
use std::path::Path;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Its name, whoever has it.
pub(crate) const NAME: &str = "chaski";

/// Why tests with somebody else's are not run by themselves.
pub(crate) fn theirs() -> String {
    std::env::var("CHASKI_S3_ENDPOINT")
        .unwrap_or_else(|_| panic!("CHASKI_S3_ENDPOINT does not say where a bucket is"))
}

pub(crate) fn bucket(endpoint: &str) -> Bucket {
    Bucket {
        endpoint: endpoint.into(),
        region: "us-east-1".into(),
        name: NAME.into(),
        prefix: "media".into(),
        access_key: "test".into(),
        secret_key: "test".into(),
    }
}

/// Serves a folder as one; where it listens.
pub(crate) fn served(runtime: &Runtime, root: &Path) -> String {
    std::fs::create_dir_all(root.join(NAME)).unwrap();
    let mut builder = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    builder.set_auth(s3s::auth::SimpleAuth::from_single("test", "test"));
    let service = builder.build();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let at = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let of = service.clone();
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), of);
            tokio::spawn(async move { connection.await.ok() });
        }
    });
    format!("http://{at}")
}
