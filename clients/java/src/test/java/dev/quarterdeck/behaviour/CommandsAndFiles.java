package dev.quarterdeck.behaviour;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.quarterdeck.client.QuarterdeckClient;
import dev.quarterdeck.v1.Command;
import dev.quarterdeck.v1.ExecuteCommandRequest;
import dev.quarterdeck.v1.ExecuteCommandResponse;
import dev.quarterdeck.v1.FileEntry;
import dev.quarterdeck.v1.ListCommandsRequest;
import dev.quarterdeck.v1.ListFilesRequest;
import dev.quarterdeck.v1.ReadFileRequest;
import dev.quarterdeck.v1.ReadFileResponse;
import java.util.List;

/** A session's commands, and the files that its agent works with. */
final class CommandsAndFiles {
    private CommandsAndFiles() {}

    static JsonObject listCommands(QuarterdeckClient client, Request request) {
        ListCommandsRequest list = ListCommandsRequest.newBuilder()
                .setSessionKey(request.text("session_key"))
                .build();
        List<Command> commands = client.gateway().listCommands(list).getCommandsList();
        return texts("commands", commands.stream().map(Command::getName).toList());
    }

    static JsonObject executeCommand(QuarterdeckClient client, Request request) {
        ExecuteCommandResponse response = client.gateway()
                .executeCommand(ExecuteCommandRequest.newBuilder()
                        .setSessionKey(request.text("session_key"))
                        .setName(request.text("name"))
                        .setArguments(request.text("arguments"))
                        .setRequestId(request.text("request_id"))
                        .build());
        JsonObject json = new JsonObject();
        json.addProperty("turn_id", response.getTurn().getTurnId());
        json.addProperty("replayed", response.getReplayed());
        return json;
    }

    static JsonObject listFiles(QuarterdeckClient client, Request request) {
        ListFilesRequest list = ListFilesRequest.newBuilder()
                .setSessionKey(request.text("session_key"))
                .setPath(request.text("path"))
                .build();
        List<FileEntry> entries = client.gateway().listFiles(list).getEntriesList();
        return texts("names", entries.stream().map(FileEntry::getName).toList());
    }

    static JsonObject readFile(QuarterdeckClient client, Request request) {
        ReadFileResponse part = client.gateway()
                .readFile(ReadFileRequest.newBuilder()
                        .setSessionKey(request.text("session_key"))
                        .setPath(request.text("path"))
                        .setOffset(request.number("offset", 0))
                        .setLimit(request.number("limit", 0))
                        .build());
        JsonObject json = new JsonObject();
        json.addProperty("text", part.getData().toStringUtf8());
        json.addProperty("size", part.getSize());
        return json;
    }

    private static JsonObject texts(String name, List<String> texts) {
        JsonArray array = new JsonArray();
        texts.forEach(array::add);
        JsonObject json = new JsonObject();
        json.add(name, array);
        return json;
    }
}
