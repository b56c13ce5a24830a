//! Columns: HAProxy's, 0 to 102, which mean the same from 2.6 on.

/// Declares all columns in their order, with their names and what HAProxy's typed form says of them.
macro_rules! columns {
    ($($column:ident = ($name:literal, $tags:literal),)*) => {
        /// A column, by HAProxy's name.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        #[expect(missing_docs, reason = "HAProxy's manual says what each is: management guide, 9.1")]
        pub enum Column {
            $($column,)*
        }

        impl Column {
            /// All, in their order.
            pub const ALL: &[Self] = &[$(Self::$column,)*];

            /// As in the first line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$column => $name,)*
                }
            }

            /// Origin, nature and scope, by HAProxy's letters.
            const fn usual_tags(self) -> &'static str {
                match self {
                    $(Self::$column => $tags,)*
                }
            }
        }
    };
}

columns! {
    Pxname = ("pxname", "KNS"),
    Svname = ("svname", "KNS"),
    Qcur = ("qcur", "MGP"),
    Qmax = ("qmax", "MMP"),
    Scur = ("scur", "MGP"),
    Smax = ("smax", "MMP"),
    Slim = ("slim", "CLP"),
    Stot = ("stot", "MCP"),
    Bin = ("bin", "MCP"),
    Bout = ("bout", "MCP"),
    Dreq = ("dreq", "MCP"),
    Dresp = ("dresp", "MCP"),
    Ereq = ("ereq", "MCP"),
    Econ = ("econ", "MCP"),
    Eresp = ("eresp", "MCP"),
    Wretr = ("wretr", "MCP"),
    Wredis = ("wredis", "MCP"),
    Status = ("status", "SGP"),
    Weight = ("weight", "MaP"),
    Act = ("act", "SGP"),
    Bck = ("bck", "SGP"),
    Chkfail = ("chkfail", "MCP"),
    Chkdown = ("chkdown", "MCP"),
    Lastchg = ("lastchg", "MAP"),
    Downtime = ("downtime", "MCP"),
    Qlimit = ("qlimit", "CLS"),
    Pid = ("pid", "KGP"),
    Iid = ("iid", "KGS"),
    Sid = ("sid", "KGS"),
    Throttle = ("throttle", "MAP"),
    Lbtot = ("lbtot", "MCP"),
    Tracked = ("tracked", "CNS"),
    Type = ("type", "CGS"),
    Rate = ("rate", "MRP"),
    RateLim = ("rate_lim", "CLP"),
    RateMax = ("rate_max", "MMP"),
    CheckStatus = ("check_status", "MOP"),
    CheckCode = ("check_code", "MOP"),
    CheckDuration = ("check_duration", "MDP"),
    Hrsp1xx = ("hrsp_1xx", "MCP"),
    Hrsp2xx = ("hrsp_2xx", "MCP"),
    Hrsp3xx = ("hrsp_3xx", "MCP"),
    Hrsp4xx = ("hrsp_4xx", "MCP"),
    Hrsp5xx = ("hrsp_5xx", "MCP"),
    HrspOther = ("hrsp_other", "MCP"),
    Hanafail = ("hanafail", "MCP"),
    ReqRate = ("req_rate", "MRP"),
    ReqRateMax = ("req_rate_max", "MMP"),
    ReqTot = ("req_tot", "MCP"),
    CliAbrt = ("cli_abrt", "MCP"),
    SrvAbrt = ("srv_abrt", "MCP"),
    CompIn = ("comp_in", "MCP"),
    CompOut = ("comp_out", "MCP"),
    CompByp = ("comp_byp", "MCP"),
    CompRsp = ("comp_rsp", "MCP"),
    Lastsess = ("lastsess", "MAP"),
    LastChk = ("last_chk", "MOP"),
    LastAgt = ("last_agt", "MOP"),
    Qtime = ("qtime", "MaP"),
    Ctime = ("ctime", "MaP"),
    Rtime = ("rtime", "MaP"),
    Ttime = ("ttime", "MaP"),
    AgentStatus = ("agent_status", "MOP"),
    AgentCode = ("agent_code", "MOP"),
    AgentDuration = ("agent_duration", "MDP"),
    CheckDesc = ("check_desc", "MOP"),
    AgentDesc = ("agent_desc", "MOP"),
    CheckRise = ("check_rise", "CGS"),
    CheckFall = ("check_fall", "CGS"),
    CheckHealth = ("check_health", "CGS"),
    AgentRise = ("agent_rise", "CGS"),
    AgentFall = ("agent_fall", "CGS"),
    AgentHealth = ("agent_health", "CGS"),
    Addr = ("addr", "CGS"),
    Cookie = ("cookie", "CNS"),
    Mode = ("mode", "CGS"),
    Algo = ("algo", "CGS"),
    ConnRate = ("conn_rate", "MRP"),
    ConnRateMax = ("conn_rate_max", "MMP"),
    ConnTot = ("conn_tot", "MCP"),
    Intercepted = ("intercepted", "MCP"),
    Dcon = ("dcon", "MCP"),
    Dses = ("dses", "MCP"),
    Wrew = ("wrew", "MCP"),
    Connect = ("connect", "MCP"),
    Reuse = ("reuse", "MCP"),
    CacheLookups = ("cache_lookups", "MCP"),
    CacheHits = ("cache_hits", "MCP"),
    SrvIcur = ("srv_icur", "MGP"),
    SrcIlim = ("src_ilim", "CLP"),
    QtimeMax = ("qtime_max", "MMP"),
    CtimeMax = ("ctime_max", "MMP"),
    RtimeMax = ("rtime_max", "MMP"),
    TtimeMax = ("ttime_max", "MMP"),
    Eint = ("eint", "MCP"),
    IdleConnCur = ("idle_conn_cur", "MGP"),
    SafeConnCur = ("safe_conn_cur", "MGP"),
    UsedConnCur = ("used_conn_cur", "MGP"),
    NeedConnEst = ("need_conn_est", "MGP"),
    Uweight = ("uweight", "MaP"),
    AggServerStatus = ("agg_server_status", "MGP"),
    AggServerCheckStatus = ("agg_server_check_status", "MGP"),
    AggCheckStatus = ("agg_check_status", "MGP"),
}

impl Column {
    /// Those of responses, in the order of [`CLASSES`](crate::servers::totals::CLASSES).
    pub const RESPONSES: [Self; 6] =
        [Self::Hrsp1xx, Self::Hrsp2xx, Self::Hrsp3xx, Self::Hrsp4xx, Self::Hrsp5xx, Self::HrspOther];

    /// Its place, from 0.
    pub const fn position(self) -> usize {
        self as usize
    }

    /// Origin, nature and scope in a row of that kind, by HAProxy's letters.
    pub fn tags(self, kind: super::Kind) -> &'static str {
        let is_of_backend = kind == super::Kind::Backend;
        let is_sum = matches!(self, Self::Act | Self::Bck | Self::Rate | Self::RateMax);
        if is_of_backend && is_sum { "MGP" } else { self.usual_tags() }
    }

    /// Whether it counts up from 0, so that counting can begin anew.
    pub fn counts(self) -> bool {
        self.usual_tags().as_bytes().get(1) == Some(&b'C')
    }
}
