//! The frontend that the proxy serves: HTTPS with routing by host and path, as in HAProxy's own examples.

use anyhow::{Context, Result, ensure};
use lb_tests::{
    client,
    lab::{Lab, PROXY_VIP},
    netns::Namespace,
    secret,
};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};
use tokio::time::Instant;

/// Requests, and the site that must answer each.
const ROUTES: [(&str, &str, &str); 5] = [
    ("api.example.com", "/", "api"),
    ("API.Example.com", "/admin/", "api"),
    ("www.example.com", "/admin/users", "admin"),
    ("www.example.com", "/administrator", "web"),
    ("other.example.com", "/admin/", "web"),
];

/// The configuration: one frontend, three backends.
pub(crate) fn config(lab: &Lab) -> Result<String> {
    let mut text = format!(
        r#"
[frontend.public]
mode = "http"
bind = [{{ address = "{PROXY_VIP}:443", tls = {{ certificates = "{}" }} }}]
acl.host_api = "hdr(host) -i api.example.com"
acl.host_web = "hdr(host) -i www.example.com"
acl.path_admin = "path_beg /admin/"
default_backend = "web_be"

[[frontend.public.rule]]
if = "host_api"
use = "api_be"

[[frontend.public.rule]]
if = "host_web path_admin"
use = "admin_be"
"#,
        lab.directory().join("certificates").display()
    );
    for (backend, port) in [("web_be", 8080), ("api_be", 8081), ("admin_be", 8082)] {
        let servers = lab.servers(backend, &["web1", "web2", "web3", "backup"], port)?;
        write!(
            text,
            r#"
[backend.{backend}]
balance = "roundrobin"
check = {{ type = "http", path = "/health", expect = 200, interval = "200ms", rise = 2, fall = 2 }}
{servers}"#
        )?;
    }
    Ok(text)
}

/// Makes a certificate for the lab; returns the file that clients trust.
pub(crate) fn make_certificate(lab: &Path) -> Result<PathBuf> {
    let names = ["example.com", "*.example.com"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let (trusted, directory) = (lab.join("trusted.pem"), lab.join("certificates"));
    fs::create_dir_all(&directory)?;
    fs::write(&trusted, made.cert.pem())?;
    secret::keep(&directory.join("example.com.pem"), made.cert.pem() + &made.signing_key.serialize_pem())?;
    Ok(trusted)
}

/// Asks every route with curl; the error names the first wrong answer.
pub(crate) fn check_routes(from: &Namespace, trusted: &Path) -> Result<String> {
    for (host, path, site) in ROUTES {
        let answer = curl(from, trusted, host, path)?;
        ensure!(
            answer.split_whitespace().nth(1) == Some(site),
            "https://{host}{path} went to {answer:?}, not to {site}"
        );
    }
    Ok(format!("{} requests, each to the right backend", ROUTES.len()))
}

/// One HTTPS request by curl; anything but 200 is an error.
pub(crate) fn curl(from: &Namespace, trusted: &Path, host: &str, path: &str) -> Result<String> {
    let resolve = format!("{host}:443:{PROXY_VIP}");
    let trusted = trusted.to_str().context("an odd name for a certificate")?;
    let url = format!("https://{host}{path}");
    client::curl(from.command("curl"), &["--cacert", trusted, "--resolve", &resolve, &url])
}

/// curl, again and again, while other things happen.
pub(crate) struct Visitor {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Visits>,
}

/// What the visitor met.
#[derive(Default)]
pub(crate) struct Visits {
    /// Requests made.
    pub(crate) requests: usize,
    /// Of those that failed: when they started, when they ended, and why.
    pub(crate) failures: Vec<(Instant, Instant, String)>,
}

impl Visitor {
    /// Starts to visit the frontend.
    pub(crate) fn start(from: &Namespace, trusted: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, from, trusted) = (Arc::clone(&stop), from.clone(), trusted.to_owned());
        let thread = thread::spawn(move || {
            let mut visits = Visits::default();
            while !stopped.load(Ordering::Relaxed) {
                let started = Instant::now();
                visits.requests += 1;
                if let Err(error) = curl(&from, &trusted, "www.example.com", "/") {
                    visits.failures.push((started, Instant::now(), format!("{error:#}")));
                }
            }
            visits
        });
        Self { stop, thread }
    }

    /// Lets the last request end.
    pub(crate) fn stop(self) -> Result<Visits> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the visitor panicked")
    }
}
