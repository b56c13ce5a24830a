//! Fields: which columns a table has: HAProxy's, and beside them those of the kernel half.

use crate::admin::rows::Column;
use lb_common::Counters;

/// A column of a table.
#[derive(Clone, Copy)]
pub(super) struct Field {
    /// What stands above it and its neighbours.
    pub(super) group: &'static str,
    pub(super) head: &'static str,
    /// What stands before it where there is no head: on a phone.
    pub(super) label: &'static str,
    pub(super) what: What,
}

/// What is in it.
#[derive(Clone, Copy)]
pub(super) enum What {
    Count(Column),
    /// Several of HAProxy's in one.
    Sum(Column, Column),
    Bytes(Column),
    Span(Column),
    /// How the rate was.
    Trail,
    /// Of the ring.
    Share,
    Kernel(fn(&Counters) -> u64),
    KernelBytes(fn(&Counters) -> u64),
}

const fn field(group: &'static str, head: &'static str, label: &'static str, what: What) -> Field {
    Field { group, head, label, what }
}

const RATE: [Field; 2] = [
    field("Rate /s", "Cur", "Rate", What::Count(Column::Rate)),
    field("Rate /s", "Max", "Peak rate", What::Count(Column::RateMax)),
];

const MINUTE: Field = field("Last minute", "", "Last minute", What::Trail);

const OPEN: [Field; 4] = [
    field("Sessions", "Cur", "Sessions", What::Count(Column::Scur)),
    field("Sessions", "Max", "Peak sessions", What::Count(Column::Smax)),
    field("Sessions", "Limit", "Limit", What::Count(Column::Slim)),
    field("Sessions", "Total", "Total", What::Count(Column::Stot)),
];

const BYTES: [Field; 2] = [
    field("Bytes", "In", "Bytes in", What::Bytes(Column::Bin)),
    field("Bytes", "Out", "Bytes out", What::Bytes(Column::Bout)),
];

const OF_FRONTENDS: [Field; 8] = [
    field("Requests", "Cur", "Requests/s", What::Count(Column::ReqRate)),
    field("Requests", "Max", "Peak requests/s", What::Count(Column::ReqRateMax)),
    field("Requests", "Total", "Requests", What::Count(Column::ReqTot)),
    field("Denied", "Req", "Denied", What::Sum(Column::Dreq, Column::Dcon)),
    field("Denied", "Resp", "Denied resp.", What::Count(Column::Dresp)),
    field("Errors", "Req", "Request errors", What::Count(Column::Ereq)),
    field("Responses", "2xx", "2xx", What::Count(Column::Hrsp2xx)),
    field("Responses", "3xx", "3xx", What::Count(Column::Hrsp3xx)),
];

const FAILED: [Field; 2] = [
    field("Responses", "4xx", "4xx", What::Count(Column::Hrsp4xx)),
    field("Responses", "5xx", "5xx", What::Count(Column::Hrsp5xx)),
];

const QUEUE: [Field; 2] = [
    field("Queue", "Cur", "Queue", What::Count(Column::Qcur)),
    field("Queue", "Max", "Peak queue", What::Count(Column::Qmax)),
];

const ERRORS: [Field; 4] = [
    field("Denied", "", "Denied", What::Sum(Column::Dreq, Column::Dresp)),
    field("Errors", "Conn", "Connection errors", What::Count(Column::Econ)),
    field("Errors", "Resp", "Response errors", What::Count(Column::Eresp)),
    field("Warnings", "Redis", "Redispatches", What::Sum(Column::Wretr, Column::Wredis)),
];

const TIMES: [Field; 2] = [
    field("Mean ms", "Resp", "Mean response, ms", What::Count(Column::Rtime)),
    field("Mean ms", "Total", "Mean total, ms", What::Count(Column::Ttime)),
];

const CHECKS: [Field; 3] = [
    field("Checks", "Failed", "Failed checks", What::Count(Column::Chkfail)),
    field("Checks", "Down", "Times down", What::Count(Column::Chkdown)),
    field("Checks", "Downtime", "Downtime", What::Span(Column::Downtime)),
];

const SHARE: Field = field("Kernel half", "Ring", "Ring", What::Share);

const KERNEL: [Field; 5] = [
    field("Kernel half", "Conns", "Kernel connections", What::Kernel(|it| it.connections)),
    field("Kernel half", "Packets", "Kernel packets", What::Kernel(|it| it.packets)),
    field("Kernel half", "In", "Kernel in", What::KernelBytes(|it| it.bytes)),
    field("Kernel half", "Replies", "Kernel replies", What::Kernel(|it| it.return_packets)),
    field("Kernel half", "Out", "Kernel out", What::KernelBytes(|it| it.return_bytes)),
];

/// Columns of frontends.
pub(super) fn of_frontends(has_http: bool, has_kernel: bool) -> Vec<Field> {
    let [rate, most, total, denied, denied_responses, errors, well, elsewhere] = OF_FRONTENDS;
    let mut fields = RATE.to_vec();
    fields.extend([rate, most, total].into_iter().filter(|_| has_http));
    fields.push(MINUTE);
    fields.extend(OPEN.into_iter().chain(BYTES).chain([denied, denied_responses, errors]));
    fields.extend([well, elsewhere].into_iter().chain(FAILED).filter(|_| has_http));
    fields.extend(KERNEL.into_iter().filter(|_| has_kernel));
    fields
}

/// Columns of a backend and its servers, by what it uses.
pub(super) fn of_servers(has_proxy: bool, has_kernel: bool, is_http: bool) -> Vec<Field> {
    let mut fields = Vec::new();
    fields.extend(QUEUE.into_iter().filter(|_| has_proxy));
    fields.extend(RATE.into_iter().chain([MINUTE]));
    fields.extend(OPEN.into_iter().chain(BYTES).chain(ERRORS).filter(|_| has_proxy));
    fields.extend(FAILED.into_iter().chain(TIMES).filter(|_| is_http));
    fields.extend(CHECKS);
    fields.extend([SHARE].into_iter().chain(KERNEL).filter(|_| has_kernel));
    fields
}
