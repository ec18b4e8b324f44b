package codeblue;

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** mongo-java-server in memory. Arguments: the port, 0 for a free one, which is printed; the address, 127.0.0.1 without it. */
public final class MongoDb {
    /** Its own "5.0" says wire version 8, which today's drivers refuse (they want 9); 13 is the real 5.0's. */
    private static final MongoVersion VERSION = new MongoVersion() {
        @Override public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
        @Override public int getWireVersion() { return 13; }
    };

    public static void main(String[] arguments) {
        var server = new MongoServer(new MemoryBackend().version(VERSION));
        server.bind(arguments.length > 1 ? arguments[1] : "127.0.0.1", Integer.parseInt(arguments[0]));
        System.out.println("{\"event\": \"listening\", \"port\": " + server.getLocalAddress().getPort() + "}");
    }
}
