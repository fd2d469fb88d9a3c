// Types that every module knows, for the type checker: what the server sends, and what goes through all of the page. No
// browser loads this file.

type App = import("./app.js").App;
type Child = import("./dom.js").Child;
type Item = import("./tray.js").Item;
type Store = import("./store.js").Store;
/** What a view leaves behind is cleaned up by what `mount` returns. */
type Mount = (root: HTMLElement, app: App) => () => void;

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
