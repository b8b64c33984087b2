// A gRPC client in TypeScript: watches a region, and leaves after some states.
//
//     npm ci && npm run build
//     VPP_TOKEN=... node built/client.js localhost:50051 north 3
//
// The types are generated from proto/ when it is built, so a contract that changed does not compile.
import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition, Metadata, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { ProtoGrpcType } from "./generated/region.js";
import type { WatchRegionResponse__Output } from "./generated/vpp/region/v1/WatchRegionResponse.js";

const [address = "localhost:50051", region = "north", count = "3"] = process.argv.slice(2);
const contracts = fileURLToPath(new URL("../../../../proto", import.meta.url));
const definition = loadSync("vpp/region/v1/region.proto", {
  includeDirs: [contracts],
  keepCase: true,
  longs: Number, // times are ms since 1970: exact as numbers
  enums: String,
  defaults: true,
  oneofs: true, // an optional field that is not set stays undefined: it is unknown, and not 0
});
const { vpp } = loadPackageDefinition(definition) as unknown as ProtoGrpcType;
const client = new vpp.region.v1.RegionService(address, credentials.createInsecure());

const metadata = new Metadata();
metadata.set("authorization", `Bearer ${process.env.VPP_TOKEN ?? ""}`);
const stream = client.WatchRegion({ region }, metadata, { deadline: Date.now() + 60_000 });

let seen = 0;
stream.on("data", (update: WatchRegionResponse__Output) => {
  const now = update.region;
  if (now === null) return;
  const power = now.battery_w === undefined ? "not measured" : `${Math.round(now.battery_w)} W`;
  const coverage = `${Math.round(100 * now.coverage)} %`;
  console.log(`${now.region}: battery ${power}, ${coverage} of its sites${now.stale ? ", STALE" : ""}`);
  seen += 1;
  if (seen >= Number(count)) stream.cancel();
});
stream.on("error", (error: ServiceError) => {
  if (error.code !== status.CANCELLED) {
    console.error(`${status[error.code]}: ${error.details}`);
    process.exitCode = 1;
  }
});
stream.on("close", () => client.close());
