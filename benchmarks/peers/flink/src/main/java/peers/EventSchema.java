package peers;

import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;

/** Reads an event from its JSON. */
final class EventSchema extends AbstractDeserializationSchema<Event> {
  private static final long serialVersionUID = 1L;

  EventSchema() {
    super(Event.class);
  }

  @Override
  public Event deserialize(byte[] message) {
    Progress.begun();
    return Event.parse(message);
  }
}
