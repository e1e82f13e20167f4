package peers;

import java.util.HashMap;
import java.util.Map;

/** Arguments as `--name value` pairs, and the lines that the harness reads. */
final class Options {
  private Options() {}

  static Map<String, String> of(String[] arguments) {
    Map<String, String> options = new HashMap<>();
    for (int index = 0; index + 1 < arguments.length; index += 2) {
      options.put(arguments[index].substring("--".length()), arguments[index + 1]);
    }
    return options;
  }

  static void say(String step) {
    System.out.println("step " + step);
    System.out.flush();
  }
}
