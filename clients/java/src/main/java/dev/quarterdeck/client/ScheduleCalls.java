package dev.quarterdeck.client;

import dev.quarterdeck.v1.CreateScheduleRequest;
import dev.quarterdeck.v1.CreateScheduleResponse;
import dev.quarterdeck.v1.DeleteScheduleRequest;
import dev.quarterdeck.v1.DeleteScheduleResponse;
import dev.quarterdeck.v1.GetScheduleRequest;
import dev.quarterdeck.v1.GetScheduleResponse;
import dev.quarterdeck.v1.ListScheduleRunsRequest;
import dev.quarterdeck.v1.ListScheduleRunsResponse;
import dev.quarterdeck.v1.ListSchedulesRequest;
import dev.quarterdeck.v1.ListSchedulesResponse;
import dev.quarterdeck.v1.PreviewScheduleRequest;
import dev.quarterdeck.v1.PreviewScheduleResponse;
import dev.quarterdeck.v1.RunScheduleNowRequest;
import dev.quarterdeck.v1.RunScheduleNowResponse;
import dev.quarterdeck.v1.ScheduleServiceGrpc;
import dev.quarterdeck.v1.UpdateScheduleRequest;
import dev.quarterdeck.v1.UpdateScheduleResponse;

/** The calls of {@code ScheduleService}: prompts that are sent by the clock. */
public final class ScheduleCalls {
    private final Calls calls;

    ScheduleCalls(Calls calls) {
        this.calls = calls;
    }

    /** Schedules a prompt. */
    public CreateScheduleResponse createSchedule(CreateScheduleRequest request) {
        return calls.unary(ScheduleServiceGrpc.getCreateScheduleMethod(), request);
    }

    /** Reads a schedule, with the next times of its runs. */
    public GetScheduleResponse getSchedule(GetScheduleRequest request) {
        return calls.unary(ScheduleServiceGrpc.getGetScheduleMethod(), request);
    }

    /** A page of schedules, by name. */
    public ListSchedulesResponse listSchedules(ListSchedulesRequest request) {
        return calls.unary(ScheduleServiceGrpc.getListSchedulesMethod(), request);
    }

    /** Changes the fields of a schedule that the request's mask names. */
    public UpdateScheduleResponse updateSchedule(UpdateScheduleRequest request) {
        return calls.unary(ScheduleServiceGrpc.getUpdateScheduleMethod(), request);
    }

    /** Takes a schedule away. What it began goes on. */
    public DeleteScheduleResponse deleteSchedule(DeleteScheduleRequest request) {
        return calls.unary(ScheduleServiceGrpc.getDeleteScheduleMethod(), request);
    }

    /** Runs a schedule at once, beside its times. */
    public RunScheduleNowResponse runScheduleNow(RunScheduleNowRequest request) {
        return calls.unary(ScheduleServiceGrpc.getRunScheduleNowMethod(), request);
    }

    /** The next times of what could be scheduled. */
    public PreviewScheduleResponse previewSchedule(PreviewScheduleRequest request) {
        return calls.unary(ScheduleServiceGrpc.getPreviewScheduleMethod(), request);
    }

    /** A page of the runs of a schedule, newest first. */
    public ListScheduleRunsResponse listScheduleRuns(ListScheduleRunsRequest request) {
        return calls.unary(ScheduleServiceGrpc.getListScheduleRunsMethod(), request);
    }
}
