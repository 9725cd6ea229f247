// libfabric's constants, with C's spelling and values (rdma/fabric.h, rdma/fi_endpoint.h, up to 2.6). Flags of 64 bits
// are bigints; enumerations are numbers.

/* Capabilities and operation flags (fi_getinfo(3), fi_cq(3)). */
export const FI_MSG = 1n << 1n;
export const FI_RMA = 1n << 2n;
export const FI_TAGGED = 1n << 3n;
export const FI_ATOMIC = 1n << 4n;
export const FI_MULTICAST = 1n << 5n;
export const FI_COLLECTIVE = 1n << 6n;
export const FI_READ = 1n << 8n;
export const FI_WRITE = 1n << 9n;
export const FI_RECV = 1n << 10n;
export const FI_SEND = 1n << 11n;
export const FI_TRANSMIT = FI_SEND;
export const FI_REMOTE_READ = 1n << 12n;
export const FI_REMOTE_WRITE = 1n << 13n;
export const FI_MULTI_RECV = 1n << 16n;
export const FI_REMOTE_CQ_DATA = 1n << 17n;
export const FI_MORE = 1n << 18n;
export const FI_PEEK = 1n << 19n;
export const FI_TRIGGER = 1n << 20n;
export const FI_FENCE = 1n << 21n;
export const FI_COMPLETION = 1n << 24n;
export const FI_EVENT = FI_COMPLETION;
export const FI_INJECT = 1n << 25n;
export const FI_INJECT_COMPLETE = 1n << 26n;
export const FI_TRANSMIT_COMPLETE = 1n << 27n;
export const FI_DELIVERY_COMPLETE = 1n << 28n;
export const FI_AFFINITY = 1n << 29n;
export const FI_COMMIT_COMPLETE = 1n << 30n;
export const FI_MATCH_COMPLETE = 1n << 31n;
export const FI_PEER_TRANSFER = 1n << 36n;
export const FI_PEER = 1n << 43n;
export const FI_XPU_TRIGGER = 1n << 44n;
export const FI_HMEM_HOST_ALLOC = 1n << 45n;
export const FI_HMEM_DEVICE_ONLY = 1n << 46n;
export const FI_HMEM = 1n << 47n;
export const FI_VARIABLE_MSG = 1n << 48n;
export const FI_RMA_PMEM = 1n << 49n;
export const FI_SOURCE_ERR = 1n << 50n;
export const FI_LOCAL_COMM = 1n << 51n;
export const FI_REMOTE_COMM = 1n << 52n;
export const FI_SHARED_AV = 1n << 53n;
export const FI_PROV_ATTR_ONLY = 1n << 54n;
export const FI_NUMERICHOST = 1n << 55n;
export const FI_RMA_EVENT = 1n << 56n;
export const FI_SOURCE = 1n << 57n;
export const FI_NAMED_RX_CTX = 1n << 58n;
export const FI_DIRECTED_RECV = 1n << 59n;
export const FI_SELECTIVE_COMPLETION = 1n << 59n;

/* Modes (fi_getinfo(3)). */
export const FI_CONTEXT = 1n << 59n;
export const FI_MSG_PREFIX = 1n << 58n;
export const FI_ASYNC_IOV = 1n << 57n;
export const FI_RX_CQ_DATA = 1n << 56n;
export const FI_LOCAL_MR = 1n << 55n;
export const FI_NOTIFY_FLAGS_ONLY = 1n << 54n;
export const FI_RESTRICTED_COMP = 1n << 53n;
export const FI_CONTEXT2 = 1n << 52n;
export const FI_BUFFERED_RECV = 1n << 51n;

/* Memory registration modes (fi_mr(3)). */
export const FI_MR_LOCAL = 1 << 2;
export const FI_MR_RAW = 1 << 3;
export const FI_MR_VIRT_ADDR = 1 << 4;
export const FI_MR_ALLOCATED = 1 << 5;
export const FI_MR_PROV_KEY = 1 << 6;
export const FI_MR_MMU_NOTIFY = 1 << 7;
export const FI_MR_RMA_EVENT = 1 << 8;
export const FI_MR_ENDPOINT = 1 << 9;
export const FI_MR_HMEM = 1 << 10;
export const FI_MR_COLLECTIVE = 1 << 11;

/* Message order (fi_endpoint(3)). */
export const FI_ORDER_NONE = 0n;
export const FI_ORDER_RAR = 1n << 0n;
export const FI_ORDER_RAW = 1n << 1n;
export const FI_ORDER_RAS = 1n << 2n;
export const FI_ORDER_WAR = 1n << 3n;
export const FI_ORDER_WAW = 1n << 4n;
export const FI_ORDER_WAS = 1n << 5n;
export const FI_ORDER_SAR = 1n << 6n;
export const FI_ORDER_SAW = 1n << 7n;
export const FI_ORDER_SAS = 1n << 8n;

/* enum fi_ep_type */
export const FI_EP_UNSPEC = 0;
export const FI_EP_MSG = 1;
export const FI_EP_DGRAM = 2;
export const FI_EP_RDM = 3;

/* enum fi_threading */
export const FI_THREAD_UNSPEC = 0;
export const FI_THREAD_SAFE = 1;
export const FI_THREAD_FID = 2;
export const FI_THREAD_DOMAIN = 3;
export const FI_THREAD_COMPLETION = 4;
export const FI_THREAD_ENDPOINT = 5;

/* enum fi_progress */
export const FI_PROGRESS_UNSPEC = 0;
export const FI_PROGRESS_AUTO = 1;
export const FI_PROGRESS_MANUAL = 2;

/* enum fi_resource_mgmt */
export const FI_RM_UNSPEC = 0;
export const FI_RM_DISABLED = 1;
export const FI_RM_ENABLED = 2;

/* enum fi_av_type */
export const FI_AV_UNSPEC = 0;
export const FI_AV_MAP = 1;
export const FI_AV_TABLE = 2;

/* enum fi_wait_obj */
export const FI_WAIT_NONE = 0;
export const FI_WAIT_UNSPEC = 1;
export const FI_WAIT_SET = 2;
export const FI_WAIT_FD = 3;
export const FI_WAIT_MUTEX_COND = 4;
export const FI_WAIT_YIELD = 5;
export const FI_WAIT_POLLFD = 6;

/* enum fi_cq_format */
export const FI_CQ_FORMAT_UNSPEC = 0;
export const FI_CQ_FORMAT_CONTEXT = 1;
export const FI_CQ_FORMAT_MSG = 2;
export const FI_CQ_FORMAT_DATA = 3;
export const FI_CQ_FORMAT_TAGGED = 4;

/* Address formats (fi_getinfo(3)). */
export const FI_FORMAT_UNSPEC = 0;
export const FI_SOCKADDR = 1;
export const FI_SOCKADDR_IN = 2;
export const FI_SOCKADDR_IN6 = 3;
export const FI_SOCKADDR_IB = 4;
export const FI_ADDR_STR = 9;
export const FI_ADDR_IB_UD = 11;
export const FI_ADDR_EFA = 12;

/** fi_addr_t of "anybody", for receives (FI_ADDR_UNSPEC). */
export const FI_ADDR_UNSPEC = -1;
