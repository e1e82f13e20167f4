package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;

/** One event as the topic holds it: {"id": …, "key": …, "at": milliseconds, "value": …}. */
public record Event(String key, long at, double value) {
  private static final JsonFactory JSON = new JsonFactory();

  static Event parse(byte[] bytes) {
    String key = null;
    long at = 0;
    double value = 0;
    try (JsonParser parser = JSON.createParser(bytes)) {
      parser.nextToken();
      while (parser.nextToken() != JsonToken.END_OBJECT) {
        String field = parser.currentName();
        parser.nextToken();
        switch (field) {
          case "key" -> key = parser.getText();
          case "at" -> at = parser.getLongValue();
          case "value" -> value = parser.getDoubleValue();
          default -> parser.skipChildren();
        }
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return new Event(key, at, value);
  }
}
