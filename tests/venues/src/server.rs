//! Two ports: the exchange's, where faults strike at the level of sockets, and the control port.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::control::{self, World};
use crate::dialect::{Desk, Keys, Reply, Request};
use crate::exchange::Exchange;
use crate::faults::{Fault, Plan};

/// Largest body of a request.
const LARGEST: usize = 1 << 16;

/// Why the simulator does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address is not free.
    #[error("{address} cannot be listened on: {source}; choose another port, 0 picks a free one")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Where it listens and who may come.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the exchange on loopback; 0 picks a free one.
    pub port: u16,
    /// Port of the control on loopback; 0 picks a free one.
    pub control_port: u16,
    /// Keys of the account.
    pub keys: Keys,
}

/// A running exchange. Dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Simulator {
    /// Where the exchange listens.
    pub address: SocketAddr,
    /// Where the control listens.
    pub control: SocketAddr,
    world: Arc<Mutex<World>>,
    _tasks: JoinSet<()>,
}

impl Simulator {
    /// Starts one on the runtime of the caller.
    pub async fn start(exchange: Exchange, options: Options) -> Result<Self, ServerError> {
        let desk = Desk::new(exchange, options.keys);
        let world =
            Arc::new(Mutex::new(World { desk, plan: Plan::default(), requests: BTreeMap::default() }));
        let (front, address) = listen(options.port).await?;
        let (back, control) = listen(options.control_port).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(front, Arc::clone(&world), Port::Exchange));
        tasks.spawn(serve(back, Arc::clone(&world), Port::Control));
        Ok(Self { address, control, world, _tasks: tasks })
    }

    /// The exchange, to look into it and to change it; nothing is answered while it is held.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The base of its URLs.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[derive(Debug, Clone, Copy)]
enum Port {
    Exchange,
    Control,
}

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), ServerError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |source| ServerError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn serve(listener: TcpListener, world: Arc<Mutex<World>>, port: Port) {
    // Its connections end with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let world = Arc::clone(&world);
        connections.spawn(async move {
            match port {
                Port::Exchange => exchange_connection(stream, world).await,
                Port::Control => control_connection(stream, world).await,
            }
        });
    }
}

async fn control_connection(stream: TcpStream, world: Arc<Mutex<World>>) {
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let world = Arc::clone(&world);
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let query = parts.uri.query().unwrap_or_default();
            let (status, value) = {
                let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
                control::answer(&mut world, parts.method.as_str(), parts.uri.path(), query, &bytes, clock())
            };
            let reply = Reply { status, headers: Vec::new(), body: value.to_string() };
            Ok::<_, Infallible>(response(&reply, false))
        }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// A connection that ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection ends here")]
struct Cut;

async fn exchange_connection(stream: TcpStream, world: Arc<Mutex<World>>) {
    // A second handle of the socket, through which a fault makes its close a reset.
    let Ok(handle) = socket2::SockRef::from(&stream).try_clone() else { return };
    let handle = Arc::new(Mutex::new(Some(handle)));
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let (world, handle) = (Arc::clone(&world), Arc::clone(&handle));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
            if body.len() > LARGEST {
                return Err(Cut);
            }
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let request = Request {
                method: parts.method.to_string(),
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                body: text(&body),
                api_key: parts.headers.get("x-mbx-apikey").map(|value| text(value.as_bytes())),
            };
            answered(&world, request, &handle).await
        }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn answered(
    world: &Mutex<World>,
    request: Request,
    handle: &Mutex<Option<socket2::Socket>>,
) -> Result<Response<Sent>, Cut> {
    let fault = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        *world.requests.entry(format!("{} {}", request.method, request.path)).or_default() += 1;
        world.plan.next(&request.method, &request.path)
    };
    if let Some(Fault::DelayBefore(milliseconds)) = fault {
        // paces: the request is late, as planned.
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
    let reply = fault.is_none_or(Fault::has_effect).then(|| {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        world.desk.answer(&request, clock())
    });
    match (fault, reply) {
        (None | Some(Fault::DelayBefore(_)), Some(reply)) => Ok(response(&reply, false)),
        (Some(Fault::DelayAfter(milliseconds)), Some(reply)) => {
            // paces: the answer is late, as planned.
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ok(response(&reply, false))
        }
        (Some(Fault::HalfBody), Some(reply)) => Ok(response(&reply, true)),
        (Some(Fault::WrongJson), Some(_)) => Ok(response(&page(200, r#"{"unexpected":[true]}"#), false)),
        (Some(Fault::Html), _) => {
            Ok(response(&page(200, "<!doctype html><title>Just a moment...</title>"), false))
        }
        (Some(Fault::StatusBefore(status) | Fault::StatusAfter(status)), _) => {
            Ok(response(&page(status, "<html><body>upstream</body></html>"), false))
        }
        (Some(Fault::ResetBefore | Fault::ResetAfter), _) => {
            let socket = handle.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(socket) = socket {
                // Closed with unsent time zero: the other side sees a reset. The handle closes first, hyper's own last.
                drop(socket.set_linger(Some(Duration::ZERO)));
            }
            Err(Cut)
        }
        _ => Err(Cut),
    }
}

fn page(status: u16, body: &str) -> Reply {
    Reply { status, headers: Vec::new(), body: body.to_owned() }
}

/// What is sent: all of it, or a part and then the end of the connection.
type Sent = BoxBody<Bytes, Cut>;

/// The reply as HTTP; `half` announces its whole length, sends half of it and ends the connection.
fn response(reply: &Reply, half: bool) -> Response<Sent> {
    let kind = if reply.body.starts_with('<') { "text/html" } else { "application/json" };
    let mut builder = Response::builder().status(reply.status).header("content-type", kind);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    let whole = Bytes::from(reply.body.clone());
    let body = if half {
        builder = builder.header("content-length", whole.len());
        let part = whole.slice(..whole.len() / 2);
        let first = stream::once(async move { Ok(Frame::data(part)) });
        let cut = stream::once(async {
            // What was sent so far leaves first.
            tokio::task::yield_now().await;
            Err(Cut)
        });
        BodyExt::boxed(StreamBody::new(first.chain(cut)))
    } else {
        all(whole)
    };
    builder.body(body).unwrap_or_else(|_| Response::new(all(Bytes::new())))
}

fn all(bytes: Bytes) -> Sent {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// The machine's clock in milliseconds since 1970 UTC.
fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
