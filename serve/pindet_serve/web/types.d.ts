// What the server sends, for the type checker; no browser loads this file.

export type Role = "viewer" | "operator" | "admin";

export interface Me { name: string; role: Role; sign_in: boolean }
export interface Token { access_token: string; expires_in: number; role: Role }
export interface ModelName { name: string; version: string; md5: string }
export interface Box { x1: number; y1: number; x2: number; y2: number }
export interface Detection { label: string; label_id: number; score: number; box: Box }
export interface ProblemBody { title: string; status: number; detail: string }

export interface ImageAnswer {
  name: string;
  image_width: number;
  image_height: number;
  detections: Detection[];
  timing?: { decode_ms: number; queue_ms: number; inference_ms: number; batch: number };
}
export interface DetectAnswer { model: ModelName; images: (ImageAnswer & { error?: ProblemBody })[] }
export interface StreamAnswer extends ImageAnswer { frame: number; dropped: number; model: ModelName; error?: ProblemBody }

export interface Model extends ModelName {
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
export interface Release extends ModelName {
  stage: string;
  lineage: Record<string, unknown>;
  followed: boolean;
  served: boolean;
  error: string;
  choices: Choice[];
  before: string[];
  closed: string;
}
export interface Choice { version: string; commit: string; when: number | null; metrics: Record<string, number> }

export interface RecordedImage {
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
export interface Counts { images: number; objects: number; mean_elapsed_ms: number | null }
export interface Statistics extends Counts {
  classes: { label: string; objects: number; images: number; mean_score: number }[];
  models: (Counts & { model_version: string; model_md5: string })[];
  series: (Counts & { start_ms: number })[];
}
export interface User { name: string; role: Role; enabled: boolean; created_ms: number }
export interface Deed {
  id: number;
  at_ms: number;
  actor: string;
  action: string;
  target: string;
  outcome: string;
  address: string;
  details: Record<string, unknown>;
}

export interface StatusEvent { id: string; type: string; ts: number; source: string; data: Record<string, any> }
export interface Heartbeat {
  throughput: number;
  p50_ms: number | null;
  p95_ms: number | null;
  queue: number;
  model: ModelName;
}
export interface Snapshot {
  reset: boolean;
  bus: { backend: string; state: string; dropped: number };
  replicas: (StatusEvent & { age: number })[];
  states: (StatusEvent & { age: number })[];
}

export type Connection = "connecting" | "live" | "waiting" | "signed_out" | "forbidden" | "stopped";
export type Cleanup = () => void;
