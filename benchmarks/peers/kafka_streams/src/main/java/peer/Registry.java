package peer;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** Sites by device, read once from a file of "device site region" lines. */
final class Registry {
  record Site(String id, String region, byte[] key) {}

  final Map<String, Site> siteOfDevice = new HashMap<>();
  private final Map<String, Site> sites = new HashMap<>();

  static Registry load(String file) throws IOException {
    Registry registry = new Registry();
    try (BufferedReader lines = Files.newBufferedReader(Path.of(file))) {
      for (String line; (line = lines.readLine()) != null; ) {
        String[] words = line.split(" ");
        Site site =
            registry.sites.computeIfAbsent(
                words[1], id -> new Site(id, words[2], id.getBytes(StandardCharsets.UTF_8)));
        registry.siteOfDevice.put(words[0], site);
      }
    }
    return registry;
  }

  /** A registered site; null if there is none of this id. */
  Site site(String id) {
    return sites.get(id);
  }
}
