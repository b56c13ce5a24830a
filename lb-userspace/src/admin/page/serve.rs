//! Serve: requests for statistics pages.

use super::{
    act::{Form, LONGEST, Outcome, outcome},
    desk::{Desk, Seen},
    document::{STYLE, document},
    guard,
    view::View,
};
use crate::{
    admin::door::{Answered, Bounds, answer, serve as serve_door, with},
    authentication,
    model::StatsPage,
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::LazyLock,
    time::Duration,
};
use tokio::{
    task::{spawn_blocking, spawn_local},
    time::{sleep, timeout},
};
use tracing::{info, warn};

/// A page may be large, and the way to a phone narrow.
const BOUNDS: Bounds = Bounds { clients: 16, header_within: Duration::from_secs(5), within: Duration::from_secs(30) };
/// A form must be here within this time.
const FORM_WITHIN: Duration = Duration::from_secs(5);
/// What a wrong password costs who has typed it: all clients together try it so often as there are [turns](Desk::turn) in this
/// time at most.
const WRONG: Duration = Duration::from_millis(300);

/// HAProxy's words.
const UNAUTHORIZED: &str = "<html><body><h1>401 Unauthorized</h1>\nYou need a valid user and password to access this content.\n\
                            </body></html>\n";

/// What may be loaded, and where forms may lead: nothing is, but for the page's own style, and nowhere but here.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; img-src data:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).ok()
});

/// What goes with every answer. A page that says no-referrer would be sent forms of `Origin: null`.
const FIELDS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Serves the page that is configured there until the worker ends.
pub async fn serve(listener: TcpListener, address: SocketAddr, desk: Rc<Desk>) -> io::Result<()> {
    let respond = async move |request: Request<Incoming>, peer: SocketAddr| {
        let mut response = respond(request, peer, (address, &desk)).await;
        let headers = response.headers_mut();
        headers.extend(FIELDS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        headers.extend(POLICY.iter().map(|policy| (header::CONTENT_SECURITY_POLICY, policy.clone())));
        response
    };
    serve_door(listener, BOUNDS, respond).await
}

async fn respond(request: Request<Incoming>, peer: SocketAddr, (address, desk): (SocketAddr, &Rc<Desk>)) -> Answered {
    let Some(page) = desk.page_at(address) else { return unavailable() };
    let Some(user) = admitted(&page, request.headers(), (peer, desk)).await else { return unauthorized(&page) };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let Some(view) = View::of(&page.uri, target) else {
        return answer(StatusCode::NOT_FOUND, "the statistics page is elsewhere\n");
    };
    match *request.method() {
        Method::GET | Method::HEAD => show(&page, desk, view, user).await,
        Method::POST => act(request, peer, (&page, desk), (&view, &user)).await,
        _ => {
            let response = answer(StatusCode::METHOD_NOT_ALLOWED, "");
            with(response, header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"))
        }
    }
}

fn unavailable() -> Answered {
    answer(StatusCode::SERVICE_UNAVAILABLE, "the daemon is starting or stopping, or this page is no more\n")
}

/// Who asks; nobody in particular, where everybody may. `None`: that may not be seen.
async fn admitted(page: &Rc<StatsPage>, headers: &HeaderMap, (peer, desk): (SocketAddr, &Rc<Desk>)) -> Option<String> {
    if page.users.users.is_empty() {
        return Some(String::new());
    }
    let field = headers.get(header::AUTHORIZATION)?.as_bytes().to_vec();
    let turn = desk.turn().await?;
    let (page, desk) = (Rc::clone(page), Rc::clone(desk));
    // In a task of its own: who hangs up hears no sooner whether a password is right, and leaves the next one no room before.
    let judged = spawn_local(async move {
        let _turn = turn;
        let users = page.users.clone();
        // A hash takes its time, which is not the loop's.
        let user = spawn_blocking(move || authentication::user(&users, &field).map(str::to_owned)).await.ok().flatten();
        if user.is_none() {
            if desk.may_name() {
                warn!(page = page.name, %peer, "a wrong password for a statistics page");
            }
            sleep(WRONG).await;
        }
        user
    });
    judged.await.ok().flatten()
}

fn unauthorized(page: &StatsPage) -> Answered {
    let response = kind(answer(StatusCode::UNAUTHORIZED, UNAUTHORIZED), "text/html");
    match HeaderValue::try_from(format!("Basic realm=\"{}\"", page.realm)) {
        Ok(value) => with(response, header::WWW_AUTHENTICATE, value),
        Err(_not_one) => response,
    }
}

fn kind(response: Answered, content_type: &'static str) -> Answered {
    with(response, header::CONTENT_TYPE, HeaderValue::from_static(content_type))
}

async fn show(page: &Rc<StatsPage>, desk: &Desk, view: View, user: String) -> Answered {
    let Some(seen) = desk.seen().await else { return unavailable() };
    let refresh = page.refresh.filter(|_| !view.no_refresh && view.rows.is_none());
    let again = refresh.map(|refresh| match view.outcome {
        None => refresh.as_secs().to_string(),
        // What became of an action is said once.
        Some(_) => format!("{};url={}", refresh.as_secs(), view.but(|_| {}).link(&page.uri)),
    });
    let content_type = view.rows.map_or("text/html; charset=utf-8", |rows| rows.content_type());
    let key = (page.name.clone(), user.clone(), view.clone());
    let page = StatsPage::clone(page);
    let draw = move |seen: &Seen| {
        if let Some(rows) = view.rows {
            return view.rows(seen.rows.clone()).shown(rows.form());
        }
        let token = if page.admin { guard::token(&page.name, &user) } else { None };
        document(seen, &page, &view, token.as_deref())
    };
    let Some(text) = desk.drawn(&seen, key, draw).await else { return unavailable() };
    let response = kind(answer(StatusCode::OK, text), content_type);
    match again.map(HeaderValue::try_from) {
        Some(Ok(again)) => with(response, header::REFRESH, again),
        Some(Err(_)) | None => response,
    }
}

async fn act(
    request: Request<Incoming>,
    peer: SocketAddr,
    (page, desk): (&Rc<StatsPage>, &Rc<Desk>),
    (view, user): (&View, &str),
) -> Answered {
    let forbidden = |why| answer(StatusCode::FORBIDDEN, why);
    let (head, body) = request.into_parts();
    if !page.admin {
        return forbidden("nobody may act on this page: `admin` of the statistics page says so\n");
    }
    if !guard::is_from_here(&head.headers, page.users.users.is_empty()) {
        return forbidden("this does not come from the statistics page\n");
    }
    let form_type = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if form_type.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
        return answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, "forms are application/x-www-form-urlencoded\n");
    }
    let Ok(body) = timeout(FORM_WITHIN, Limited::new(body, LONGEST).collect()).await else {
        return answer(StatusCode::REQUEST_TIMEOUT, "");
    };
    let Ok(body) = body else { return done(page, view, Outcome::TooLong) };
    let form = Form::read(&body.to_bytes());
    if !guard::is_token(&page.name, user, &form.token) {
        return forbidden("this form is older than the daemon, or not of the statistics page: load the page again\n");
    }
    let commands = match form.commands() {
        Ok(commands) => commands,
        Err(outcome) => return done(page, view, outcome),
    };
    let (acting, desk, user) = (Rc::clone(page), Rc::clone(desk), user.to_owned());
    // In a task of its own: what was begun is done, also if the browser goes away.
    let acted = spawn_local(async move {
        let (mut taken, all) = (0, commands.len());
        for words in commands {
            info!(event = "asked", page = acting.name, user, %peer, request = ?words, "asked over a statistics page");
            match desk.say(words).await {
                Ok(()) => taken += 1,
                Err(why) => info!(page = acting.name, user, why, "what was asked over a statistics page cannot be"),
            }
        }
        outcome(taken, all)
    });
    match acted.await {
        Ok(outcome) => done(page, view, outcome),
        Err(_ended) => unavailable(),
    }
}

/// Back to the page, so that loading it again does not act again.
fn done(page: &StatsPage, view: &View, outcome: Outcome) -> Answered {
    let link = view.but(|view| view.outcome = Some(outcome)).link(&page.uri);
    let response = answer(StatusCode::SEE_OTHER, "");
    match HeaderValue::try_from(link) {
        Ok(link) => with(response, header::LOCATION, link),
        Err(_not_one) => response,
    }
}
