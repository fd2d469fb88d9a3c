// Types that every module knows, for the type checker: what the server sends, and what goes through all of the page. No
// browser loads this file.

type App = import("./app.js").App;
type Child = Node | string | number | null | undefined | false;
type Key = import("./i18n.js").Key;
type Props = Record<string, any>;
type Language = "en" | "zh";
type Theme = "auto" | "light" | "dark";
type ChangeKind = "promote" | "rollback";
type Metrics = Record<string, number>;
interface Span { since_ms: number; until_ms: number }
type Store = import("./store.js").Store;
/** What a view leaves behind is cleaned up by what `mount` returns. */
type Mount = (root: HTMLElement, app: App) => () => void;

/** Fetches anew what a view shows. */
type Load = () => Promise<void>;
/** When `run` fails, the dialog stays and says why. Closing the dialog does not stop what is begun. */
interface Act { action: string; danger?: boolean; run: (underway: (text: string) => void) => Promise<unknown> }
type Figure = [name: string, value: string, unit: string, warn?: boolean];
type Lineage = Record<string, unknown>;
/** Draws what is known; whether the feed is live says whether it is of now. */
type Update = (store: Store, now: number, isLive: boolean) => void;

/** `at`: when it happened by this machine's clock, ms since 1970. */
type Seen = StatusEvent & { at: number };
interface Sample { at: number; throughput: number; p50: number | null; p95: number | null; queue: number }
/** `last`: the id of the newest heartbeat. */
interface Replica { source: string; heardAt: number; last: string; beat: Heartbeat; samples: Sample[] }
interface Training {
  id: string;
  status: string;
  heardAt: number;
  data: Record<string, any>;
  points: Map<number, Record<string, number>>;
}
interface Job {
  id: string; name?: string; status: string; done: number; unreadable?: number; total: number | null; error: string;
  at: number;
}

/** An image that is tried. */
interface Item {
  name: string;
  file: Blob;
  state: "waiting" | "working" | "done" | "failed";
  note: string;
  /** Counts its changes. */
  version: number;
  /** As `preview`: undefined until it is read, null if it can not be. */
  bitmap?: ImageBitmap | null;
  preview?: ImageBitmap | null;
  answer: ImageAnswer | null;
  model: ModelName | null;
  error: unknown;
}

interface Thumb {
  element: HTMLElement;
  button: HTMLElement;
  picture: HTMLCanvasElement;
  count: HTMLElement;
  version: number;
}

interface AskOptions {
  method?: string;
  query?: Record<string, unknown>;
  json?: unknown;
  body?: BodyInit;
  signal?: AbortSignal;
  patience?: number;
  /** A 401 is only this request's own. */
  quiet?: boolean;
}

interface Point { x: number; y: number | null }
interface Line { name: string; colour: number; dashed?: boolean; points: Point[] }
interface ChartOptions {
  title: string;
  unit: string;
  describeX: (x: number) => string;
  tickX: (x: number) => string;
  /** How far ticks of x may be apart, none closer than `tickX` tells them apart. */
  stepsX: number[];
  heading?: "h2" | "h3";
  format?: (y: number | null) => string;
  bars?: boolean;
  /** No line is drawn over a longer step. */
  gap?: number;
  /** As `most`: what the y axis shows at least. */
  least?: number;
  most?: number;
}

interface Schema {
  $ref?: string;
  type?: string;
  format?: string;
  enum?: unknown[];
  anyOf?: Schema[];
  allOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  const?: unknown;
}
interface OpenApi { components: { schemas: Record<string, Schema> } }
interface Parameter { name: string; in: string; required?: boolean; description?: string; schema: Schema }
interface Content { description?: string; content?: Record<string, { schema?: Schema }> }
interface Operation {
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: Parameter[];
  requestBody?: Content;
  responses: Record<string, Content>;
  security?: unknown[];
}

type Role = "viewer" | "operator" | "admin";

interface Me { name: string; role: Role; sign_in: boolean }
interface Token { access_token: string; expires_in: number; role: Role }
interface ModelName { name: string; version: string; md5: string }
interface Box { x1: number; y1: number; x2: number; y2: number }
interface Detection { label: string; label_id: number; score: number; box: Box }
interface ProblemBody { title: string; status: number; detail: string }

interface ImageAnswer {
  name: string;
  image_width: number;
  image_height: number;
  detections: Detection[];
  timing?: { decode_ms: number; queue_ms: number; inference_ms: number; batch: number };
}
interface DetectAnswer { model: ModelName; images: (ImageAnswer & { error?: ProblemBody })[] }
interface StreamAnswer extends ImageAnswer { frame: number; dropped: number; model: ModelName; error?: ProblemBody }

interface Label { text: string; letters: number; left: number; top: number; wide: number; tall: number }

interface Model extends ModelName {
  stage: string;
  engine: string;
  device: string;
  classes: string[];
  image_height: number;
  image_width: number;
  score_threshold: number;
  max_detections: number;
  metrics: Record<string, number>;
  data_md5: string;
  lineage: Record<string, unknown>;
  mlflow_url: string;
  can_roll_back: boolean;
  previous: ModelName | null;
  declined: ModelName | null;
  refused: string;
}
interface Release extends ModelName {
  stage: string;
  lineage: Record<string, unknown>;
  followed: boolean;
  served: boolean;
  error: string;
  choices: Choice[];
  before: string[];
  closed: string;
}
interface Choice { version: string; commit: string; when: number | null; metrics: Record<string, number> }

interface RecordedImage {
  id: number;
  at_ms: number;
  request_id: string;
  source: string;
  actor: string;
  model_version: string;
  model_md5: string;
  image_name: string | null;
  image_width: number;
  image_height: number;
  objects: number;
  elapsed_ms: number;
  detections: Detection[];
}
interface Counts { images: number; objects: number; mean_elapsed_ms: number | null }
interface Statistics extends Counts {
  classes: { label: string; objects: number; images: number; mean_score: number }[];
  models: (Counts & { model_version: string; model_md5: string })[];
  series: (Counts & { start_ms: number })[];
}
interface User { name: string; role: Role; enabled: boolean; created_ms: number }
interface Deed {
  id: number;
  at_ms: number;
  actor: string;
  action: string;
  target: string;
  outcome: string;
  address: string;
  details: Record<string, unknown>;
}

interface StatusEvent { id: string; type: string; ts: number; source: string; data: Record<string, any> }
interface Heartbeat {
  throughput: number;
  p50_ms: number | null;
  p95_ms: number | null;
  queue: number;
  model: ModelName;
}
interface Snapshot {
  reset: boolean;
  bus: { backend: string; state: string; dropped: number };
  replicas: (StatusEvent & { age: number })[];
  states: (StatusEvent & { age: number; curve?: [epoch: number, metrics: Record<string, number>][] })[];
}

type Connection = "connecting" | "live" | "waiting" | "signed_out" | "forbidden" | "stopped";
